"""The text of a CIBA prompt."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.alert import code_of
from forwarder.react.prompts.message import message_of, template_problem
from tests.unit.react.prompts.rows import prompt

ALPHABET = re.compile(r"[A-Za-z0-9 .,:-]{1,50}")
UUID = "7c1d5f0a-6d55-5a4e-9a38-2a6f0d5b9f11"


def text(template: str | None = None, *, title: str = "Sign-in", city: Any = "Lagos", **more: Any) -> str:
    client = {"ipAddress": "198.51.100.7", "geographicalContext": {"city": city, "country": "Nigeria"}}
    subject = msgspec.json.encode({"client": client})
    settings = {"by": "ciba"} | ({"message": template} if template else {})
    return message_of(prompt(alert=UUID, title=title, settings=settings, **({"subject": subject} | more)))


def test_the_message_says_what_happened_and_has_the_code_of_the_alert() -> None:
    code = code_of(UUID)
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{4}", code)
    assert text() == f"Sign-in 12:00 UTC. Was it you. Code {code}"
    assert text("Sign-in from {city} {time}. Was it you") == f"Sign-in from Lagos 12:00. Was it you. Code {code}"


def test_only_a_text_that_is_too_long_is_shortened() -> None:
    made = text(title="Sign-in from a country on the list of countries")
    assert len(made) <= 50
    assert made.startswith("Sign-in from a")
    assert made.endswith(f"12:00 UTC. Was it you. Code {code_of(UUID)}")


@pytest.mark.parametrize("city", ["%41%n%s", "\x1b[31mX\r\n\0", "{title}{0.__class__}", "\u202e\u2066x", "%" * 999])
def test_no_value_from_an_event_adds_other_characters(city: str) -> None:
    made = text("From {city}. Was it you", city=city)
    assert ALPHABET.fullmatch(made)
    assert "%" not in made


def test_accents_are_left_out() -> None:
    assert text("From {city}", city="São Paulo").startswith("From Sao Paulo. Code ")


@pytest.mark.parametrize("subject", [b"", b"no json", b"[]", b'{"client":7}', b'{"client":{"ipAddress":{}}}'])
def test_an_odd_alert_still_makes_a_message(subject: bytes) -> None:
    assert text("From {city} {ip} {country}", subject=subject).startswith("From. Code ")


@pytest.mark.long
@given(st.text(), st.text(), st.text(max_size=80))
def test_every_message_has_1_to_50_permitted_characters_and_ends_with_the_code(
    title: str, city: str, login: str
) -> None:
    for template in (None, "{user} {city} {title}", "{title}"):
        made = text(template, title=title, city=city, login=login)
        assert ALPHABET.fullmatch(made)
        assert made.endswith(f"Code {code_of(UUID)}")


@pytest.mark.parametrize(
    ("template", "word"),
    [
        ("From {city}. Was it you", None),
        ("Was it you?", "character"),
        ("From {place}", "{place}"),
        ("x" * 39, None),
        ("x" * 40, "longer"),
    ],
)
def test_a_template_is_checked_when_it_is_loaded(template: str, word: str | None) -> None:
    problem = template_problem(template)
    assert problem is None if word is None else word in str(problem)
