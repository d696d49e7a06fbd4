"""What the tables of an MP4 or MOV promise, looked at before a decoder believes them.

A file is boxes of a size, a name of four letters and a content; tables say how many samples (frames, pieces of sound) a
track has. One of a few bytes may promise billions, and a reader makes an entry of each.
"""

import struct
from collections.abc import Iterator

from data_pipeline.errors import RecordError

__all__ = ["FIRST_BOXES", "check_promised"]

FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")
"""Names that such a file may begin with."""
_DATA_BOXES = (b"mdat", b"free", b"skip", b"wide")
_COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""Boxes that promise samples, and where the number stands behind their name."""
_MAX_SAMPLES = 10_000_000
"""Of all tracks, sound too; the reader takes some 70 bytes of each."""


def check_promised(data: bytes) -> None:
    """Refuse tables that promise more samples than any honest file of these bounds has.

    Raises:
        RecordError: media_too_large; broken_video: a header that is packed, and so not to be looked at.
    """
    promised = 0
    for header in _headers(data):
        if b"cmov" in header:
            raise RecordError("broken_video", "a compressed header")
        for box, offset in _COUNTS.items():
            start = header.find(box)
            while start >= 0:
                place = start + 4 + offset
                promised += struct.unpack(">I", header[place : place + 4].ljust(4, b"\0"))[0]
                start = header.find(box, start + 4)
    if promised > _MAX_SAMPLES:
        raise RecordError("media_too_large", f"a video file that promises {promised:,} samples, limit {_MAX_SAMPLES:,}")


def _headers(data: bytes) -> Iterator[bytes]:
    """The outermost boxes that hold no pictures or sound."""
    start = 0
    while start + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[start : start + 8])
        if size == 1:
            size = int.from_bytes(data[start + 8 : start + 16], "big")
        end = start + size if size >= 8 else len(data)  # 0: to the end of the file
        if name not in _DATA_BOXES:
            yield data[start:end]
        start = end
