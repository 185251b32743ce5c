"""Collects the body of a request or a response up to a maximum size. The maximum also applies to the inflated body,
because a kilobyte of gzip can become a gigabyte."""

import zlib

from forwarder.core.errors import ForwarderError

_GZIP = 16 + zlib.MAX_WBITS
_STEP = 64 * 1024
_FREE_MEMBERS = 1_000
_MEMBER_BYTES = 1024
"""The number of inflated bytes that each further member of a gzip body must have on average, after the first
_FREE_MEMBERS members.

An empty member has 20 bytes, and takes longer to inflate than 10 KiB of text, so a small body with many members would
take very long. Programs that write many members write about 10 KiB into each member.
"""


class BodyTooLargeError(ForwarderError):
    """A body is larger than its limit."""


class BodyEncodingError(ForwarderError):
    """A body does not have the encoding that its header names, or the header names an encoding other than gzip."""


class BoundedBody:
    """Collects one body, piece by piece, and inflates it.

    Neither the received body nor the inflated body may be larger than `limit` bytes.
    """

    def __init__(self, content_encoding: str, limit: int) -> None:
        """Start with an empty body. `content_encoding` is the value of the header `Content-Encoding`, or empty if the
        message does not have this header. `limit` is the maximum size in bytes.

        Raises:
            BodyEncodingError: the encoding is neither gzip nor identity.
        """
        encoding = content_encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise BodyEncodingError(f"its content encoding is {encoding[:40]!r}, and only gzip is supported")
        self._limit = limit
        self._inflater = zlib.decompressobj(_GZIP) if encoding.endswith("gzip") else None
        self._members = 1
        self._received = 0
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        """Add the next piece of the body, as received.

        Raises:
            BodyTooLargeError: the body is larger than the limit.
            BodyEncodingError: the body is not valid gzip, or has too many gzip members.
        """
        self._received += len(piece)
        if self._received > self._limit:
            raise self._too_large()
        if self._inflater is None:
            self._body += piece
            return
        try:
            for start in range(0, len(piece), _STEP):  # small steps: zlib copies the rest of a step for each member
                self._inflate(piece[start : start + _STEP])
        except zlib.error:
            raise BodyEncodingError("its content encoding is gzip, but the body is not valid gzip") from None

    def _inflate(self, piece: bytes) -> None:
        assert self._inflater is not None
        while piece:
            if self._inflater.eof:  # gzip may have several members, and zeros after the last one
                piece = piece.lstrip(b"\0")
                if not piece:
                    return
                self._inflater = zlib.decompressobj(_GZIP)
                self._members += 1
                if self._members > _FREE_MEMBERS + len(self._body) // _MEMBER_BYTES:
                    raise BodyEncodingError("its content encoding is gzip, but the body has too many gzip members")
            self._body += self._inflater.decompress(piece, self._limit - len(self._body) + 1)
            if len(self._body) > self._limit:
                raise self._too_large()
            piece = self._inflater.unused_data

    def finish(self) -> bytes:
        """Return the whole body, inflated. Call this after the last `feed`.

        Raises:
            BodyEncodingError: the body is gzip, but is incomplete.
        """
        if self._inflater is not None and self._received and not self._inflater.eof:
            raise BodyEncodingError("it is compressed with gzip, but ends too early")
        return bytes(self._body)

    @property
    def start(self) -> bytes:
        """The part of the body that was read so far, inflated."""
        return bytes(self._body)

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"it is larger than {self._limit >> 20} MiB")
