"""The same samples for every side: image bytes and token ids. Needs nothing but NumPy, so that rivals can import it."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IMAGE_BYTES = 117_000
PREFIX, RESPONSE = 283, 125
"""Median tokens of a real set of image pairs."""


@dataclass(frozen=True)
class Sample:
    """One Comparison of two responses with one image of random bytes."""

    id: str
    image: bytes
    prefix: npt.NDArray[np.int32]
    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]

    def checksum(self) -> int:
        """Of all its content."""
        total = zlib.crc32(self.id.encode())
        for part in (self.image, self.prefix.tobytes(), self.first.tobytes(), self.second.tobytes()):
            total = zlib.crc32(part, total)
        return total


def samples(count: int) -> Iterator[Sample]:
    """Sizes vary by half around the usual ones."""
    for index in range(count):
        yield sample(index)


def sample(index: int) -> Sample:
    """Sample `index`, alone."""
    random = np.random.default_rng([7, index])

    def ids(usual: int) -> npt.NDArray[np.int32]:
        return random.integers(0, 150_000, int(usual * random.uniform(0.5, 1.5)), dtype=np.int32)

    image = random.bytes(int(IMAGE_BYTES * random.uniform(0.5, 1.5)))
    return Sample(f"sample-{index:06d}", image, ids(PREFIX), ids(RESPONSE), ids(RESPONSE))
