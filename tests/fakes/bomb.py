"""A small gzip stream that becomes very large."""

from isal import isal_zlib


def bomb(parts: int, size: int) -> bytes:
    """Return `parts` times `size` zeros as one stream. They never stand in memory together, which takes longer."""
    packer, zeros = isal_zlib.compressobj(wbits=31), bytes(size)
    return b"".join([*(packer.compress(zeros) for _ in range(parts)), packer.flush()])
