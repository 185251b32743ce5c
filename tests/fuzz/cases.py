"""What the fuzzer of the receiver sends: envelopes by a grammar, then ways to spoil them, then ways to send them.

Everything comes from one `random.Random`, so a case is its seed.
"""

import gzip
import json
from dataclasses import dataclass
from random import Random

SECRET = "fuzz-secret"
PATH = "/okta/events"

_SCRAPS = (
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"null", b"NaN", b"-Infinity", b"1e999", b"\x00", b"\xff"),
    *(
        rb"\ud800",
        rb"\udc00\ud800",
        rb"\u0000",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\r\n\r\n",
        b"0\r\n\r\n",
    ),
    *(b'"events"', b'"data"', b'"uuid":"x"', b'"eventId":', b"[" * 2000, b'{"a":' * 2000, b"9" * 5000, b" " * 3000),
)
_TEXTS = (
    *("", "text", "\u0000", "\U0001f600", "ключ", "\\", '"', "a" * 3000, "\u2028", "null", "../../etc", "{{7*7}}"),
    *("2026-01-01T00:00:00Z", "\ud800", "x\udfffy", "%s%n", "<script>"),
)
_STRAY: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    [],
    {},
    [[]],
    "event",
    {"uuid": None},
    {"uuid": "u"},
    {"published": 1},
)
_BOMB = gzip.compress(b"\0" * 5_000_000)


@dataclass(frozen=True)
class Case:
    """One connection's worth of bytes.

    Attributes:
        pieces: what to write, one piece after the other.
        sound: it is one whole request that nothing has spoilt, so it must be answered 200.
        uuids: the events that are then stored.
        malformed: the elements that are then dead letters.
    """

    pieces: list[bytes]
    sound: bool
    uuids: frozenset[str]
    malformed: int


def case(seed: int) -> Case:
    """The case of a seed."""
    random = Random(seed)
    body, uuids, malformed = _envelope(random, seed)
    spoilt = random.random() < 0.5
    if spoilt:
        body = _spoil(random, body)
    request, framed = _request(random, body)
    if random.random() < 0.15:
        request, framed = _spoil(random, request), False
    return Case(_cut(random, request), framed and not spoilt, frozenset(uuids), malformed)


def _envelope(random: Random, seed: int) -> tuple[bytes, set[str], int]:
    uuids: set[str] = set()
    elements: list[object] = []
    malformed = 0
    for number in range(random.choice((0, 1, 1, 1, 2, 5, 40, 400))):
        if random.random() < 0.8:
            uuids.add(f"{seed}-{number}")
            elements.append(_event(random, f"{seed}-{number}"))
        else:
            malformed += 1
            elements.append(random.choice(_STRAY))
    envelope: dict[str, object] = {"data": {"events": elements, **_extras(random)}, **_extras(random)}
    if random.random() < 0.8:
        envelope[random.choice(("eventId", "eventID"))] = random.choice((*_TEXTS, None, 5, {}))
    # ASCII or not decides whether halves of pairs are written as escapes; as bytes they cannot be.
    text = json.dumps(_shuffled(random, envelope), indent=random.choice((None, None, 1)))
    return text.encode(), uuids, malformed


def _event(random: Random, uuid: str) -> dict[str, object]:
    second = random.choice(("", ".1", ".123", ".123456", ".123456789"))
    zone = random.choice(("Z", "+00:00", "-07:30", ""))
    event = {
        "uuid": uuid,
        "published": f"2026-0{random.randint(1, 9)}-0{random.randint(1, 9)}T11:00:00{second}{zone}",
        "eventType": random.choice(("user.session.start", "group.user_membership.add", "no.such.type", "ключ")),
    }
    return _shuffled(random, event | _extras(random))


def _extras(random: Random) -> dict[str, object]:
    return {f"k{n}{random.choice(_TEXTS)}": _value(random, 3) for n in range(random.choice((0, 0, 1, 4)))}


def _value(random: Random, depth: int) -> object:
    kind = random.random()
    if depth and kind < 0.2:
        return [_value(random, depth - 1) for _ in range(random.randint(0, 4))]
    if depth and kind < 0.4:
        return {random.choice(_TEXTS): _value(random, depth - 1) for _ in range(random.randint(0, 4))}
    return random.choice((*_TEXTS, None, True, 0, -(2**70), 0.1, 10**300))


def _shuffled(random: Random, pairs: dict[str, object]) -> dict[str, object]:
    return dict(random.sample(list(pairs.items()), len(pairs)))


def _spoil(random: Random, data: bytes) -> bytes:
    """A few cuts, doublings, flips and scraps."""
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randint(0, len(data))
        end = min(len(data), at + random.choice((1, 1, 4, 100)))
        how = random.randrange(5)
        if how == 0:
            data = data[:at] + random.choice(_SCRAPS) + data[at:]
        elif how == 1:
            data = data[:at] + data[end:]
        elif how == 2:
            data = data[:end] + data[at:]
        elif how == 3:
            data = data[:at] + random.randbytes(end - at) + data[end:]
        else:
            data = data[:at]
    return data


def _request(random: Random, body: bytes) -> tuple[bytes, bool]:
    """A request around `body`, and whether it is one that must be taken."""
    sound = True
    headers = [("Host", "localhost"), ("Accept", "application/json")]
    method, path, version = "POST", PATH, "1.1"
    if random.random() < 0.1:
        sound = False
        method = random.choice(("GET", "HEAD", "PUT", "OPTIONS", "PRI", "CONNECT", "post"))
    if random.random() < 0.05:
        sound = False
        path = random.choice(("/", "/okta", "//", "/%ff", "/\xff", "*", "http://x/okta/events", "/" + "a" * 9000, ""))
    if random.random() < 0.1:
        version = random.choice(("1.0", "1.1", "2.0", "9", ""))
        sound = sound and version in ("1.0", "1.1")
    secret = random.choices(([SECRET], ["wrong"], [], [SECRET, SECRET], [SECRET[:-1]]), (16, 1, 1, 1, 1))[0]
    sound = sound and secret == [SECRET]
    headers += [(random.choice(("Authorization", "AUTHORIZATION")), value) for value in secret]
    body, encoded = _encode(random, body, headers)
    framing, framed = _frame(random, body, headers, version)
    headers += random.choice(([], [], [("Connection", "close")], [("X-Okta-Verification-Challenge", "a" * 40)]))
    headers += random.choice(([], [], [], [("Expect", "100-continue")], [("X-Pad", "p" * 3000)]))
    random.shuffle(headers)
    top = f"{method} {path} HTTP/{version}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
    return top.encode("latin-1") + b"\r\n" + framing, sound and encoded and framed


def _encode(random: Random, body: bytes, headers: list[tuple[str, str]]) -> tuple[bytes, bool]:
    how = random.random()
    if how < 0.8:
        return body, True
    if how < 0.9:
        headers.append(("Content-Encoding", random.choice(("gzip", "GZIP", "x-gzip"))))
        return gzip.compress(body, random.choice((0, 1, 9)), mtime=0), True
    headers.append(("Content-Encoding", random.choice(("gzip", "br", "deflate", "", "gzip, gzip"))))
    packed = gzip.compress(body, mtime=0)
    return random.choice((body, packed[:-3], _BOMB, _spoil(random, packed))), False


def _frame(random: Random, body: bytes, headers: list[tuple[str, str]], version: str) -> tuple[bytes, bool]:
    how = random.random()
    if how < 0.6 or version == "1.0":
        headers.append(("Content-Length", str(len(body))))
        return body, True
    if how < 0.8:
        headers.append(("Transfer-Encoding", "chunked"))
        return _chunked(random, body), True
    if how < 0.9:
        wrong = random.choice((0, 1, max(0, len(body) - 3), len(body) + 7, 10**7, 10**12, 10**30, "-1", "x", "+5"))
        headers.append(("Content-Length", str(wrong)))
        return body, False
    headers.append(("Transfer-Encoding", random.choice(("chunked", "gzip", "chunked, chunked", "identity"))))
    if random.random() < 0.5:
        headers.append(("Content-Length", str(len(body))))
    return _spoil(random, _chunked(random, body)), False


def _chunked(random: Random, body: bytes) -> bytes:
    chunks = []
    at = 0
    while at < len(body):
        size = random.choice((1, 7, 100, 5000))
        piece = body[at : at + size]
        chunks.append(b"%x%s\r\n%s\r\n" % (len(piece), random.choice((b"", b"", b";a=b")), piece))
        at += size
    trailer = random.choice((b"", b"", b"X-Trailer: 1\r\n", b"Authorization: wrong\r\n"))
    return b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


def _cut(random: Random, request: bytes) -> list[bytes]:
    cuts = sorted(random.randint(0, len(request)) for _ in range(random.choice((0, 0, 1, 3, 20))))
    return [request[a:b] for a, b in zip([0, *cuts], [*cuts, len(request)], strict=True)]
