"""docs/rules.md says for each public rule where its events come from."""

import pytest

from tests import shared_data
from tests.e2e import rules_page


@pytest.mark.long
@shared_data.needs(shared_data.RULES)
def test_the_page_says_where_the_events_of_each_rule_come_from() -> None:
    def without_verdict(table: str) -> list[list[str]]:
        return [line.split(" | ")[:3] for line in table.splitlines()]

    told = without_verdict(rules_page.written())
    assert told == without_verdict(rules_page.table({}))
    assert len(told) == 2 + 61
