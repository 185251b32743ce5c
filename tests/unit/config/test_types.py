import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from forwarder.config.types import Duration, Secret, Size

size = TypeAdapter(Size).validate_python
duration = TypeAdapter(Duration).validate_python


@pytest.mark.parametrize(
    ("text", "expected"), [("10MiB", 10 * 2**20), ("2GB", 2 * 10**9), ("1.5 KiB", 1536), ("7b", 7), ("1tib", 2**40)]
)
def test_a_size_is_a_number_with_a_unit(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("500ms", 0.5), ("2s", 2), ("5m", 300), ("1h", 3600), ("7d", 604800)])
def test_a_time_is_a_number_with_a_unit(text: str, expected: float) -> None:
    assert duration(text) == expected


def test_a_quantity_has_an_upper_limit() -> None:
    assert (duration("36500d"), size("1024TiB")) == (36500 * 86400, 2**50)
    with pytest.raises(ValidationError, match="'999999999999999d' is too large; write at most 36500d"):
        duration("999999999999999d")
    with pytest.raises(ValidationError, match="'1025TiB' is too large; write at most 1024TiB"):
        size("1025TiB")


@pytest.mark.parametrize("wrong", ["10", 10, "MiB", "10 apples", "-1s", None, "", "٣s"])
def test_a_quantity_without_a_unit_is_refused_with_an_example(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="unit, as in"):
        size(wrong)
    with pytest.raises(ValidationError, match="unit, as in"):
        duration(wrong)


def test_a_secret_comes_from_the_config_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SECRET", "from env")
    (tmp_path / "secret").write_text("Basic abc==\n")
    assert Secret.read("plain").reveal() == "plain"
    assert Secret.read({"env": "SOME_SECRET"}).reveal() == "from env"
    assert Secret.read({"file": str(tmp_path / "secret")}).reveal() == "Basic abc=="


def test_a_secret_of_a_file_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    secret = Secret.read({"file": str(file)})
    file.write_text("new")
    assert (secret.reveal(), secret.reread().reveal(), secret.file) == ("old", "new", file)


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "problem"), [("fifo", "it is a FIFO, a device or a socket"), ("/dev/zero", "a device"), ("large", "4 MiB")]
)
def test_a_secret_is_read_only_from_a_small_regular_file(tmp_path: Path, file: str, problem: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"x" * (4 * 2**20 + 1))
    with pytest.raises(ValueError, match=f"{file} cannot be read: .*{problem}"):
        Secret.read({"file": str(tmp_path / file)})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_secret_file_that_this_user_cannot_read_has_a_hint(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    with pytest.raises(ValueError, match="Permission denied; let the forwarder's user read it"):
        Secret.read({"file": str(tmp_path / "secret")})


@pytest.mark.parametrize(
    ("name", "hint"),
    [("nothing", "No such file or directory; create it, or correct the path"), ("", "folder; name a regular file")],
)
def test_a_secret_file_that_cannot_be_read_has_a_hint(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"cannot be read: .*{hint}"):
        Secret.read({"file": str(tmp_path / name)})


def test_an_empty_source_of_a_secret_says_what_belongs_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "")
    (tmp_path / "secret").write_text("\n")
    for source in ({"env": "SOME_SECRET"}, {"file": str(tmp_path / "secret")}):
        with pytest.raises(ValueError, match="is empty; write the secret there"):
            Secret.read(source)


@pytest.mark.parametrize(
    "wrong",
    ["", 3, None, {}, {"env": "NOT_SET_ANYWHERE"}, {"file": "/not/there"}, {"vault": "x"}, {"env": "A", "file": "b"}],
)
def test_a_missing_secret_is_an_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"secret|environment|cannot be read"):
        Secret.read(wrong)


def test_a_secret_never_shows_itself() -> None:
    secret = Secret.read("s3cr3t-value")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", repr([secret]), "%s" % secret]  # noqa: UP031
    shown.append(TypeAdapter(Secret).dump_json(secret).decode())
    assert not any("s3cr3t" in text for text in shown)


def test_a_secret_may_contain_what_looks_like_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKTA_SECRET", "9f${x}-{{q}}-4c1e77a0b2d8")
    assert Secret.read({"env": "OKTA_SECRET"}).reveal() == "9f${x}-{{q}}-4c1e77a0b2d8"


def test_a_missing_secret_file_with_a_relative_path_says_where_the_path_begins() -> None:
    with pytest.raises(ValueError, match="a relative path begins at the folder in which the command was started"):
        Secret.read({"file": "no-such-folder/hook"})
    with pytest.raises(ValueError, match=r"create it, or correct the path$"):
        Secret.read({"file": "/no-such-folder/hook"})


def test_a_line_break_at_the_end_of_a_variable_is_no_part_of_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKTA_SECRET", "9f4c1e77a0b2d8\r\n")
    assert Secret.read({"env": "OKTA_SECRET"}).reveal() == "9f4c1e77a0b2d8"


NOT_A_SECRET = {
    '"9f4c1e77"': "quotes around the secret",
    "'9f4c1e77'": "quotes around the secret",
    "“9f4c1e77”": "quotes around the secret",
    "OKTA_SECRET=9f4c1e77": "contains NAME=VALUE; write only VALUE there",
    "export OKTA_SECRET=9f4c1e77": "contains NAME=VALUE; write only VALUE there",
    "${env:OKTA_SECRET}": "contains only a variable",
    "${file:/run/secrets/okta}": "contains only a variable",
    "%{OKTA_SECRET}": "contains only a variable",
    "$(OKTA_SECRET)": "contains only a variable",
    "SECRET[vault.okta_secret]": "contains only a variable",
    "op://vault/okta/secret": "contains only a variable",
    "vault:secret/data/okta#secret": "contains only a variable",
    "arn:aws:secretsmanager:us-east-1:1:secret:okta": "contains only a variable",
}


@pytest.mark.parametrize("content", NOT_A_SECRET)
def test_what_surrounds_or_names_a_secret_is_refused(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(content + "\n")
    monkeypatch.setenv("SOME_SECRET", content)
    for source in ({"env": "SOME_SECRET"}, {"file": str(tmp_path / "secret")}):
        with pytest.raises(ValueError, match=NOT_A_SECRET[content]) as refused:
            Secret.read(source)
        assert "9f4c1e77" not in str(refused.value)


@pytest.mark.parametrize("secret", ['9f"4c"1e77', "AB=9f4c1e77", "9F4C1E77AA==", '"a"b"'])
def test_a_secret_may_have_quotes_and_equals_signs(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", secret)
    assert Secret.read({"env": "SOME_SECRET"}).reveal() == secret


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_secret_file_in_utf_16_is_refused(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("9f4c1e77", encoding=encoding)
    with pytest.raises(ValueError, match="it is not text in UTF-8; save it as UTF-8"):
        Secret.read({"file": str(tmp_path / "secret")})


def test_the_name_of_a_variable_in_place_of_its_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKTA_SECRET", "9f4c1e77")
    with pytest.raises(ValueError, match=r"is the name of an environment variable, .*write {env: NAME}"):
        Secret.read("OKTA_SECRET")


@pytest.mark.parametrize("written", [123456, 0.5, True, date(2026, 1, 1)])
def test_a_secret_that_yaml_reads_as_another_type_needs_quotes(written: Any) -> None:
    with pytest.raises(ValueError, match="put the value in quotes"):
        Secret.read(written)


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("~/hook", "the forwarder does not replace `~`; write the whole path"),
        ("$HOME/hook", "variables are not replaced in a path"),
    ],
)
def test_a_secret_file_with_a_shorthand_says_that_it_is_not_replaced(file: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        Secret.read({"file": file})
