"""Names of fields that hide nothing are refused with the right spelling, and every field that is mapped is known."""

import pytest

from forwarder.core.okta_fields import unknown_field
from forwarder.ecs.fields import FIELDS


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("actor.alternateid", "actor.alternateId"),
        ("actor.AlternateId", "actor.alternateId"),
        ("actor.alternate_id", "actor.alternateId"),
        ("actor.alternatId", "actor.alternateId"),
        ("Actor.alternateId", "actor.alternateId"),
        ("target.0.displayName", "target.displayName"),
        ("target.*.displayName", "target.displayName"),
        ("target[].displayName", "target.displayName"),
        ("client.ipChain.0.ip", "client.ipChain.ip"),
        ("client.ipChain.0.geographicalcontext.city", "client.ipChain.geographicalcontext.city"),
        ("client.geographicalContext.Country", "client.geographicalContext.country"),
        ("client.userAgent.raw_user_agent", "client.userAgent.rawUserAgent"),
        ("device.OS_version", "device.osVersion"),
        ("securityContext.isproxy", "securityContext.isProxy"),
        ("securityContext.userBehaviors.*.name", "securityContext.userBehaviors.name"),
        ("debugContext.debugdata.requestUri", "debugContext.debugData.requestUri"),
        ("debugContext.debugData.*", "write debugContext.debugData, which"),
        ("debugContext.debugData.request*", "write debugContext.debugData, which"),
        ("*", "write a name such as"),
        ("debugContext.requestUri.x", "debugData"),
        ("target.changeDetails.From.x", "target.changeDetails.from.x"),
    ],
)
def test_a_spelling_that_hides_nothing_is_refused_with_the_right_one(name: str, right: str) -> None:
    assert right in (unknown_field(name) or "")


@pytest.mark.parametrize(
    "name",
    [
        *("actor", "actor.detailEntry.any.key", "request", "client.ipChain", "client.ipChain.ip", "displayMessage"),
        *(
            "request.ipChain.geographicalContext.geolocation.lat",
            "target.changeDetails.from.p.q",
            "transaction.detail.x",
        ),
        *(
            "debugContext.debugData.New_IP",
            "debugContext.debugData.list.0.x",
            "device.newName",
            "securityContext.new.x",
        ),
        *sorted({row.okta for row in FIELDS} - {"uuid", "eventType"}),
    ],
)
def test_each_name_of_okta_is_a_field(name: str) -> None:
    assert unknown_field(name) is None
