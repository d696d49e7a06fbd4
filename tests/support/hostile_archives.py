"""Archives whose index says what no writer would."""

import struct

__all__ = ["zip64"]

_BODY = b"m" + b"data"
_ELSEWHERE = 0xFFFFFFFF  # the number stands in the extra field


def zip64(size: int, packed: int = 4, offset: int = 0, *, method: int = 0) -> bytes:
    """A zip of one member, "m", of 4 bytes, whose index holds any numbers of 64 bits."""
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, method, 0, 0, 0, 4, 4, 1, 0) + _BODY
    extra = struct.pack("<2H3Q", 1, 24, size, packed, offset)
    sizes = (_ELSEWHERE, _ELSEWHERE, 1, len(extra), 0, 0, 0, 0, _ELSEWHERE)
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, method, 0, 0, 0, *sizes) + b"m" + extra
    return local + entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)
