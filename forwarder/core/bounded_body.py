"""Collects the body of a response up to a maximum size: a kilobyte of gzip can become a gigabyte."""

import zlib

from forwarder.core.errors import ForwarderError

_GZIP = 16 + zlib.MAX_WBITS


class BodyTooLargeError(ForwarderError):
    """A body is larger than its limit."""


class BodyEncodingError(ForwarderError):
    """A body is not encoded as its header says, or its encoding is not gzip."""


class BoundedBody:
    """Collects one body, piece by piece, and inflates it.

    Neither the received nor the inflated body may be larger than `limit` bytes.
    """

    def __init__(self, content_encoding: str, limit: int) -> None:
        """Start with an empty body. `content_encoding` is the value of the header; empty if there is no header.

        Raises:
            BodyEncodingError: the encoding is neither gzip nor identity.
        """
        encoding = content_encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise BodyEncodingError(f"its content encoding is {encoding[:40]!r}, and only gzip is supported")
        self._limit = limit
        self._inflater = zlib.decompressobj(_GZIP) if encoding.endswith("gzip") else None
        self._received = 0
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        """Add the next piece, as received.

        Raises:
            BodyTooLargeError: the body is larger than the limit.
            BodyEncodingError: the body is not valid gzip.
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
            raise BodyEncodingError("its content encoding is gzip, but the body is not valid gzip") from None

    def finish(self) -> bytes:
        """Return the whole body, inflated.

        Raises:
            BodyEncodingError: the gzip stream ends too early.
        """
        if self._inflater is not None and self._received and not self._inflater.eof:
            raise BodyEncodingError("it is compressed with gzip, but ends too early")
        return bytes(self._body)

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"it is larger than {self._limit >> 20} MiB")
