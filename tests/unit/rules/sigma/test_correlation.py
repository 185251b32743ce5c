"""The correlations that are read, and those that are refused because they would never alert, or always."""

from pathlib import Path

import pytest

from forwarder.rules.load import RulesError, load


def correlated(folder: Path, kind: str, condition: str | None, timespan: str = "5m", rules: str = "one, two") -> Path:
    path = folder / "rules.yml"
    path.write_text(
        "".join(
            f"title: {name}\nname: {name}\nlogsource: {{product: okta}}\ndetection: {{s: {{eventType: x}}, condition: s}}\n---\n"
            for name in ("one", "two")
        )
        + f"title: many\ncorrelation:\n  type: {kind}\n  rules: [{rules}]\n  timespan: {timespan}\n"
        + (f"  condition: {condition}\n" if condition else "")
    )
    return path


@pytest.mark.parametrize("number", [".nan", "nan", ".inf", "-.inf", "inf", "1e400", "2.5", "five", "true", "null"])
@pytest.mark.parametrize("operator", ["gt", "gte", "eq"])
def test_a_count_that_is_not_a_whole_number_is_refused(operator: str, number: str, tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"rules\.yml:16: .*number"):
        load([correlated(tmp_path, "event_count", f"{{{operator}: {number}}}")])


@pytest.mark.parametrize(
    ("kind", "condition", "said"),
    [
        ("event_count", "{gte: 0}", "is true without any event"),
        ("event_count", "{gt: -1}", "is true without any event"),
        ("value_count", "{field: actor.id, eq: -5}", "is true without any event"),
        ("temporal", "{gte: 0}", "is true without any event"),
        ("temporal", "{gte: 5}", "wants more different rules than `rules` names"),
        ("temporal", "{gt: 2}", "wants more different rules than `rules` names"),
        ("temporal_ordered", "{gte: 1}", "an event of each of its 2 rules, in order"),
        ("temporal_ordered", "{gte: 3}", "an event of each of its 2 rules, in order"),
        ("event_count", "{gte: 10001}", "wants more than 10,000, the highest number that is counted"),
        ("value_count", "{field: actor.id, gt: 10000}", "wants more than 10,000, the highest number that is counted"),
        ("event_count", "{gte: 9999999999999999999999999999999999999999}", "wants more than 10,000"),
    ],
)
def test_a_count_that_is_never_or_always_reached_is_refused(
    kind: str, condition: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(RulesError, match=rf"rules\.yml:16: .*{said}"):
        load([correlated(tmp_path, kind, condition)])


@pytest.mark.parametrize(
    ("kind", "condition", "wanted"),
    [
        ("event_count", "{gte: 1}", 1),
        ("event_count", "{gt: 0}", 1),
        ("event_count", "{eq: 3.0}", 3),
        ("event_count", "{gt: 9999}", 10_000),
        ("temporal", "{gte: 1}", 1),
        ("temporal", None, 2),
        ("temporal_ordered", "{gte: 2}", 2),
        ("temporal_ordered", None, 2),
    ],
)
def test_a_count_that_can_be_reached_is_read(kind: str, condition: str | None, wanted: int, tmp_path: Path) -> None:
    (found,) = load([correlated(tmp_path, kind, condition)]).correlations
    assert found.wanted == wanted


@pytest.mark.parametrize("timespan", ["367d", "13M", "2y", "999999999y"])
def test_a_timespan_of_more_than_a_year_is_refused(timespan: str, tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"rules\.yml:15: `timespan` is longer than a year"):
        load([correlated(tmp_path, "temporal", None, timespan)])
    assert load([correlated(tmp_path, "temporal", None, "1y")]).correlations


def test_a_temporal_that_names_a_rule_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="names 'one' twice"):
        load([correlated(tmp_path, "temporal", None, rules="one, one")])
    assert load([correlated(tmp_path, "temporal_ordered", None, rules="one, two, one")]).correlations
