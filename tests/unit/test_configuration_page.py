from tools.make_configuration import SECTIONS, TARGET, page


def test_the_page_of_the_configuration_is_what_the_code_says() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run tools/make_configuration.py"


def test_every_key_has_a_meaning() -> None:
    bare = [line for line in page().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert not bare
    assert len(SECTIONS) > 10
