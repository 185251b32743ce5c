"""Collects the body of a response with a bound on its size: a kilobyte of gzip can become a gigabyte."""

import zlib

from forwarder.core.errors import ForwarderError

_GZIP = 16 + zlib.MAX_WBITS


class BodyTooLargeError(ForwarderError):
    """A body is larger than its limit."""


class BodyEncodingError(ForwarderError):
    """A body is not encoded as its header says, or by another encoding than gzip."""


class BoundedBody:
    """Collects one body. Never holds more than `limit` bytes of it, and one piece as received."""

    def __init__(self, content_encoding: str, limit: int) -> None:
        """Undo `content_encoding`, a header's value. `limit` is in bytes, as sent and inflated.

        Raises:
            BodyEncodingError: neither gzip nor nothing.
        """
        encoding = content_encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise BodyEncodingError(f"its content encoding is {encoding[:40]!r}, and only gzip is read")
        self._limit = limit
        self._inflater = zlib.decompressobj(_GZIP) if encoding.endswith("gzip") else None
        self._received = 0
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        """Add the next piece, as received.

        Raises:
            BodyTooLargeError, BodyEncodingError: reading more is pointless.
        """
        self._received += len(piece)
        if self._received > self._limit:
            raise self._too_large()
        if self._inflater is None:
            self._body += piece
            return
        try:
            while piece:
                if self._inflater.eof:  # gzip may have several members
                    self._inflater = zlib.decompressobj(_GZIP)
                self._body += self._inflater.decompress(piece, self._limit - len(self._body) + 1)
                if len(self._body) > self._limit:
                    raise self._too_large()
                piece = self._inflater.unused_data
        except zlib.error:
            raise BodyEncodingError("its content encoding is gzip, and it is not valid gzip") from None

    def finish(self) -> bytes:
        """Return the body.

        Raises:
            BodyEncodingError: it ends too early.
        """
        if self._inflater is not None and self._received and not self._inflater.eof:
            raise BodyEncodingError("it is compressed with gzip, and ends too early")
        return bytes(self._body)

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"it is larger than {self._limit >> 20} MiB")
