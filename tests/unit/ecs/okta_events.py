"""Okta events to test with: examples, and a Hypothesis strategy for System Log events and their hook twins."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.event import Event, Source, read_event

RECEIVED = 1_787_303_744_913_000  # 2026-08-21T09:15:44.913Z

Json = dict[str, Any]


def event_of(raw: Mapping[str, Any] | bytes, source: Source = Source.LOG) -> Event:
    body = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return read_event(body, org="acme", source=source, received_at=RECEIVED)


def bare(**more: Any) -> Json:
    """The least that is an event."""
    return {
        "uuid": "dd0583fa-9d40-11f1-803d-5907b4615b10",
        "published": "2026-08-21T09:15:33.679Z",
        "eventType": "user.session.start",
    } | more


def sign_in() -> Json:
    """A sign-in with every object that Okta's System Log has, filled."""
    place = {
        "city": "Toronto",
        "state": "Ontario",
        "country": "Canada",
        "postalCode": "M4M",
        "geolocation": {"lat": 43.6567, "lon": -79.34},
    }
    return bare(
        version="0",
        severity="INFO",
        displayMessage="User login to Okta",
        legacyEventType="core.user_auth.login_success",
        actor={
            "id": "00u1",
            "type": "User",
            "alternateId": "jane.doe@example.com",
            "displayName": "Jane Doe",
            "detailEntry": None,
        },
        client={
            "id": None,
            "zone": "null",
            "device": "Computer",
            "ipAddress": "203.0.113.10",
            "userAgent": {"rawUserAgent": "Mozilla/5.0 (X11)", "os": "Linux", "browser": "FIREFOX"},
            "geographicalContext": place,
        },
        device={
            "id": "guo1",
            "name": "Jane's laptop",
            "os_platform": "OSX",
            "os_version": "12.6.6",
            "managed": False,
            "registered": True,
            "device_integrator": None,
            "disk_encryption_type": "ALL_INTERNAL_VOLUMES",
            "screen_lock_type": "PASSCODE",
            "jailbreak": None,
            "secure_hardware_present": True,
        },
        outcome={"result": "SUCCESS", "reason": None},
        target=[
            {"id": "lae1", "type": "AuthenticatorEnrollment", "alternateId": "unknown", "displayName": "Password"},
            {"id": "0oa1", "type": "AppInstance", "alternateId": "Console", "displayName": "Console"},
        ],
        transaction={"type": "WEB", "id": "YCT4", "detail": {"requestApiTokenId": "00T1"}},
        debugContext={
            "debugData": {
                "behaviors": "{New Geo-Location=NEGATIVE, New Device=POSITIVE, Velocity=POSITIVE}",
                "risk": "{reasons=Anomalous Location, Anomalous Device, level=HIGH}",
                "requestId": "YCT4",
                "requestUri": "/idp/idx/identify",
                "dtHash": "f59d",
                "deviceFingerprint": "92a4",
                "threatSuspected": "false",
                "url": "/idp/idx/identify?",
                "authnRequestId": "ZCCz",
            }
        },
        authenticationContext={
            "authenticationProvider": "OKTA_AUTHENTICATION_PROVIDER",
            "authenticationStep": 0,
            "credentialProvider": "OKTA_CREDENTIAL_PROVIDER",
            "credentialType": "PASSWORD",
            "externalSessionId": "idx1",
            "rootSessionId": "idx0",
            "interface": "Outlook",
            "issuer": {"id": "0oa9", "type": "OIDC"},
        },
        securityContext={
            "asNumber": 64496,
            "asOrg": "example isp",
            "isp": "example isp",
            "domain": "example.net",
            "isProxy": False,
        },
        request={"ipChain": [{"ip": "203.0.113.10", "geographicalContext": place, "version": "V4", "source": None}]},
    )


def hook_twin(logged: Json, *, nulls: bool) -> Json:
    """The same event as an event hook brings it: the IP chain within the client, nulls explicit or left out."""
    twin = deepcopy(logged)
    request = twin.pop("request", None) or {}
    if request.get("ipChain") is not None or twin.get("client") is not None:
        twin["client"] = (twin.get("client") or {}) | {"ipChain": request.get("ipChain") or []}
    return twin if nulls else without_nulls(twin)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


_text = st.text(max_size=12)
_words = st.sampled_from(["null", "unknown", "Unknown", "POSITIVE", "HIGH", "-", "true", "a@b.c", "@x"]) | _text
_ip = st.ip_addresses().map(str) | st.sampled_from(["null", "10.0.0.256", "1.2.3", "fe80::1%eth0"]) | _text
_number = st.floats(-200, 200) | st.integers(-200, 200)
_place = st.fixed_dictionaries(
    {key: _maybe(_words) for key in ("city", "state", "country", "postalCode")}
    | {"geolocation": _maybe(st.fixed_dictionaries({"lat": _maybe(_number), "lon": _maybe(_number)}))}
)
_hop = st.fixed_dictionaries(
    {
        "ip": _maybe(_ip),
        "version": _maybe(st.sampled_from(["V4", "V6"])),
        "source": _maybe(_words),
        "geographicalContext": _maybe(_place),
    }
)


def free() -> st.SearchStrategy[Any]:
    """Any JSON value, numbers beyond 64 bits included."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(2**62, 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
    )
    return st.recursive(
        scalars | _words,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
        max_leaves=8,
    )


def _java_map() -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(_words, _words), max_size=4)
    return pairs.map(lambda found: "{" + ", ".join(f"{key}={value}" for key, value in found) + "}")


_debug_data = st.fixed_dictionaries(
    {"requestUri": _maybe(_words), "threatSuspected": _maybe(st.sampled_from(["true", "false"]))},
    optional={
        "behaviors": _maybe(_java_map() | _words | free()),
        "risk": _maybe(_java_map() | st.just("{reasons=A, B, level=HIGH}") | _words | free()),
        "logOnlySecurityData": _maybe(free().map(json.dumps) | _words),
        "tunnels": _maybe(free().map(json.dumps) | _words),
        "originalPrincipal": free(),
        "requestedScopes": _maybe(_words | st.lists(_words)),
        "New Thing-like": free(),
    },
)
_target = st.fixed_dictionaries(
    {key: _maybe(_words) for key in ("id", "alternateId", "displayName")}
    | {"type": _maybe(st.sampled_from(["User", "user", "UserGroup", "AppInstance"]) | _words)}
    | {"detailEntry": _maybe(st.dictionaries(_text | st.just("methodTypeUsed"), free(), max_size=2))},
    optional={"changeDetails": _maybe(st.fixed_dictionaries({"from": free(), "to": free()}))},
)


def _object(texts: str, **others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object or null, with `texts`, the names of its text values, and `others`; each of them may be null."""
    keys = {key: _maybe(_words) for key in texts.split()} | {key: _maybe(value) for key, value in others.items()}
    return _maybe(st.fixed_dictionaries(keys))


def log_events(event_types: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Json]:
    """System Log events of `event_types` (any of the catalogue): well-formed, with odd values and explicit nulls."""
    agent = _object("rawUserAgent os browser")
    client = _object("id zone device", ipAddress=_ip, userAgent=agent, geographicalContext=_place)
    return st.fixed_dictionaries(
        {
            "uuid": st.uuids().map(str),
            "published": st.just("2026-08-21T09:15:33.679Z"),
            "eventType": event_types or st.sampled_from(sorted(EVENT_TYPES)),
            "displayMessage": _maybe(_words),
            "severity": _maybe(st.sampled_from(["DEBUG", "INFO", "WARN", "ERROR"])),
            "actor": _object("id type alternateId displayName detailEntry"),
            "client": client,
            "device": _object("id name os_platform", managed=st.booleans(), device_integrator=free().map(json.dumps)),
            "outcome": _object("reason", result=st.sampled_from(["SUCCESS", "Success", "ALLOW", "DENY", "SKIPPED"])),
            "target": _maybe(st.lists(_target, max_size=4)),
            "transaction": _object("id type", detail=_object("requestApiTokenId rootApiTokenId")),
            "debugContext": _object("", debugData=_debug_data),
            "authenticationContext": _object(
                "authenticationProvider externalSessionId interface",
                authenticationStep=st.integers(),
                issuer=_object("id type"),
            ),
            "securityContext": _object("asOrg isp domain", asNumber=st.integers(), isProxy=st.booleans()),
            "request": _object("", ipChain=st.lists(_hop, max_size=3)),
        }
    )
