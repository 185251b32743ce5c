"""An odd query is read or refused; no query raises another error."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import named, possible
from forwarder.rules.conditions.okta_filter import read_okta_filter
from forwarder.rules.elastic.eql import read_eql
from forwarder.rules.elastic.esql import read_esql
from forwarder.rules.elastic.kql import read_kql, read_lucene

PIECES = (
    "event.action", "okta.event_type", "eventType", "data_stream.dataset", "user.name", '"user.session.start"', "user.*",
    '"""a"b"""', "'c'", "/u.*/", '"[(*"', "(", ")", "[", "]", "{", "}", ":", "==", "!=", "=", ",", "|", "!", "-", "+", "<=",
    "and", "or", "not", "NOT", "in", "like", "rlike~", "where", "by", "from", "eval", "sequence", "any", "until", "eq",
    "sw", "pr", "ne", "to_lower", "starts_with", "kql", "::", "?", "`x.y`", "\\", '"', "//", "/*", "\n", "é", "\0", "3.5",
)  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    "read", [read_kql, read_lucene, read_esql, read_okta_filter, read_eql], ids=lambda read: read.__name__
)
@given(query=st.lists(st.sampled_from(PIECES), max_size=20).map(" ".join) | st.text(max_size=40))
def test_an_odd_query_is_read_or_refused(read: object, query: str) -> None:
    assert callable(read)
    with contextlib.suppress(RuleFileError):
        found = read(query)
        for condition in found if isinstance(found, list) else [found]:
            for pattern in named(condition):
                assert pattern.matches(pattern.text) in (True, False)
            assert possible(condition, "user.session.start") in (True, False, None)
