"""Checks run side by side, each bounded, each after those that it needs."""

import asyncio
from typing import Any

import pytest

from forwarder.clock import SystemClock
from forwarder.config.types import Secret
from forwarder.core.errors import StoreError
from forwarder.doctor.check import (
    Check,
    CheckKind,
    CheckRow,
    CheckVerdict,
    Found,
    fail,
    from_line,
    ok,
    skip,
    slug,
    warn,
)
from forwarder.doctor.context import Context
from forwarder.doctor.runner import run, select, with_needs
from forwarder.settings import Settings

SETTINGS = Settings(
    orgs={"acme": {"secrets": ["first-secret"]}, "beta": {"secrets": ["second-secret"]}},
    sinks={"archive": {"kind": "file", "path": "/x/okta.ndjson"}},
)


def orgs(settings: Settings) -> list[str]:
    return list(settings.orgs)


def check(id_: str, found: Any, *needs: str, **options: Any) -> Check:
    async def look(_: Context, subject: str) -> Found:
        answer = found(subject) if callable(found) else found
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    return Check(id_, id_, "Configuration", look, needs=needs, **options)


async def rows(*checks: Check, timeout: float = 5.0) -> list[CheckRow]:
    return await run(checks, Context(SETTINGS, SystemClock(), timeout))


async def test_a_check_is_skipped_after_one_that_failed_with_its_name_however_long_the_chain() -> None:
    one, two, three = await rows(
        check("a.one", fail("broken", "mend it")), check("a.two", ok(""), "a.one"), check("a.three", ok(""), "a.two")
    )
    assert (one.verdict, one.fix, one.url) == (CheckVerdict.FAIL, "mend it", "docs/runbook.md#configuration")
    assert (two.verdict, two.seen) == (CheckVerdict.SKIP, "because a.one failed")
    assert (three.verdict, three.seen) == (CheckVerdict.SKIP, "because a.one failed")


async def test_a_warning_does_not_stop_what_needs_it_and_a_skip_hands_on_its_reason() -> None:
    found = await rows(
        check("a.one", warn("odd", "look")),
        check("a.two", skip("there is nothing yet"), "a.one"),
        check("a.three", ok(""), "a.two"),
        check("a.four", ok(""), "a.three"),
    )
    assert [row.seen for row in found[1:]] == ["there is nothing yet", *["because there is nothing yet"] * 2]


async def test_only_the_same_org_is_skipped() -> None:
    first = check("a.one", lambda org: fail("no", "x") if org == "acme" else ok("yes"), subjects=orgs)
    found = await rows(first, check("a.two", ok("fine"), "a.one", subjects=orgs))
    assert [(row.id, row.verdict, row.seen) for row in found] == [
        ("a.one", "fail", "acme: no"),
        ("a.one", "ok", "beta: yes"),
        ("a.two", "skip", "acme: because a.one failed"),
        ("a.two", "ok", "beta: fine"),
    ]


async def test_a_check_without_the_subject_of_its_need_does_not_wait_for_its_peers() -> None:
    first = check("a.one", fail("no", "x"), subjects=lambda _: ["acme"])
    found = await rows(first, check("a.two", ok("fine"), "a.one", subjects=orgs))
    assert [row.verdict for row in found] == ["fail", "skip", "ok"]


async def test_of_several_orgs_one_is_enough_for_a_sink() -> None:
    first = check("a.one", lambda org: fail("no", "x") if org == "acme" else ok("yes"), subjects=orgs)
    found = await rows(first, check("b.one", ok("fine"), "a.one", subjects=lambda _: ["archive"]))
    assert found[-1].verdict is CheckVerdict.OK
    found = await rows(
        check("a.one", fail("no", "x"), subjects=orgs), check("b.one", ok(""), "a.one", subjects=lambda _: ["archive"])
    )
    assert found[-1].seen == "archive: because a.one failed"


async def test_checks_run_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def meet(_: Context, _subject: str) -> Found:
        await both.wait()
        return ok("met")

    found = await rows(*(Check(f"a.{name}", "", "Configuration", meet) for name in ("one", "two")))
    assert [row.verdict for row in found] == ["ok", "ok"]


@pytest.mark.long
@pytest.mark.parametrize("late", [CheckVerdict.FAIL, CheckVerdict.SKIP])
async def test_a_check_that_hangs_ends_with_its_time_and_the_others_stay(late: CheckVerdict) -> None:
    async def hang(_: Context, _subject: str) -> Found:
        await asyncio.Event().wait()
        raise AssertionError

    hanging = Check("a.one", "", "Configuration", hang, late=late)
    one, two = await rows(hanging, check("a.two", ok("fine")), timeout=0.05)
    assert (one.verdict, one.seen, two.verdict) == (late, "not finished within 0.05 s", CheckVerdict.OK)
    assert one.seconds >= 0.05


async def test_an_error_of_the_product_is_a_finding_and_a_bug_hides_nothing_else() -> None:
    one, two, three = await rows(
        check("a.one", StoreError("the disk is full; free some space")),
        check("a.two", KeyError("x")),
        check("a.three", ok("fine")),
    )
    assert (one.seen, one.fix) == ("the disk is full", "free some space")
    assert (two.verdict, two.fix) == (CheckVerdict.FAIL, "report this as a bug")
    assert three.verdict is CheckVerdict.OK


async def test_a_secret_in_a_message_is_not_shown() -> None:
    secret = Secret("planted-secret-of-a-check").reveal()
    (row,) = await rows(check("a.one", fail(f"it says {secret}", f"with {secret}")))
    assert secret not in row.seen + row.fix


def test_ids_and_groups_are_selected_with_what_they_need() -> None:
    table = [
        check("a.one", ok(""), kind=CheckKind.OFFLINE),
        check("a.two", ok(""), "a.one"),
        check("b.one", ok(""), "a.two"),
        check("b.two", ok("")),
    ]
    kinds = {CheckKind.OFFLINE, CheckKind.ONLINE}
    ids = [each.id for each in select(table, ["b"], ["b.two"], kinds)]
    assert ids == ["b.one"]
    chosen = with_needs(table, select(table, ["b.one"], (), kinds), select(table, (), (), kinds))
    assert [each.id for each in chosen] == ["a.one", "a.two", "b.one"]
    without = with_needs(table, select(table, ["b.one"], ["a.two"], kinds), select(table, (), ["a.two"], kinds))
    assert [each.id for each in without] == ["a.one", "b.one"]
    assert [each.id for each in select(table, (), (), {CheckKind.OFFLINE})] == ["a.one"]


async def test_a_check_whose_need_is_left_out_says_so() -> None:
    (row,) = await rows(check("b.one", ok(""), "a.two"))
    assert (row.verdict, row.seen) == (CheckVerdict.SKIP, "because a.two was not run")


def test_a_line_of_the_product_is_split_into_what_and_what_to_do() -> None:
    assert from_line(CheckVerdict.WARN, "a: b; c; d", "e").fix == "c; d"
    assert from_line(CheckVerdict.WARN, "a: b", "e").fix == "e"


def test_an_anchor_is_as_github_makes_it() -> None:
    assert slug("Okta's API") == "oktas-api"
