import json
import unicodedata

import pytest

from forwarder.core.printable import printable, printable_json, printable_line


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\rb\bc\x00", r"a\x0db\x08c\x00"),
        ("\x9b31m\x85\x7f", r"\x9b31m\x85\x7f"),
        ("\u202eevil\u202c\u2066x\u2069\u200f", r"\u202eevil\u202c\u2066x\u2069\u200f"),
        ("\u2028\u2029\ufeff\u200b", r"\u2028\u2029\ufeff\u200b"),
        ("\ud800 \U000e0041", r"\ud800 \U000e0041"),
    ],
)
def test_what_steers_a_terminal_or_hides_text_is_escaped(text: str, safe: str) -> None:
    assert printable(text) == printable_line(text) == safe


@pytest.mark.parametrize("text", ["", "plain", "Grüße, 世界 🎉 e\u0301", "two\nlines\tand a tab", "\\x1b"])
def test_ordinary_text_is_kept(text: str) -> None:
    assert printable(text) == text


def test_one_value_stays_in_one_line() -> None:
    assert printable_line("a\nb\tc\r\n") == r"a\nb\tc\x0d\n"


def test_no_control_or_format_character_passes() -> None:
    embeddings = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    unsafe = [
        character
        for character in map(chr, range(0x3000))
        if unicodedata.category(character) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(character) in embeddings
    ]
    assert len(unsafe) > 70
    assert [character for character in unsafe if printable(character) == character] == ["\t", "\n"]


def test_json_stays_json_with_the_same_values() -> None:
    characters = map(chr, (*range(0xD800), *range(0xE000, 0x10000), 0xE0041, 0x1F389))
    values = {"all": "".join(characters), "numbers": [1, None]}
    text = printable_json(json.dumps(values, indent=2, ensure_ascii=False))
    assert json.loads(text) == values
    assert printable(text) == text
