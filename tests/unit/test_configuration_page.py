import yaml

from tools.make_configuration import SECTIONS, TARGET, page


def test_the_page_of_the_configuration_is_what_the_code_says() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run tools/make_configuration.py"


def test_a_default_is_yaml_and_no_meaning_contradicts_its_unit() -> None:
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    for _, default, meaning in rows:
        if default.startswith("`"):
            yaml.safe_load(default.strip("`"))
        assert "(" not in default
        assert not meaning.startswith(("Seconds", "Bytes"))
        assert "See below" not in meaning


def test_every_key_has_a_meaning() -> None:
    bare = [line for line in page().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert not bare
    assert len(SECTIONS) > 10
