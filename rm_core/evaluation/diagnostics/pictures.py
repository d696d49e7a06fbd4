"""The same Comparison with other pictures of the same sizes: what a probe of pictures shows the model.

Only the files change. Tokens, places and sizes stay, so that nothing but what is to be seen can make a difference.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
import numpy.typing as npt
import PIL.Image

from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, EncodedVideo, VisionSpan
from data_pipeline.errors import RecordError

__all__ = ["BLOCK", "Donor", "changed_pictures", "donors"]

BLOCK = 64
"""Comparisons that may be shown each other's pictures: so many in the order of the data, from a multiple of it on."""
Donor = Sequence[tuple[str, bytes]]
"""Pictures of a Comparison: sha256 and file of each."""
_GREY = 128


def changed_pictures(encoded: EncodedComparison, probe: str, donor: Donor | None) -> EncodedComparison:
    """`encoded` as the picture probe `probe` shows it.

    Args:
        donor: pictures of another Comparison, for ``shuffled_images``: shown in turn.

    Raises:
        RecordError: ``no_picture``; ``no_other_picture``: there is no donor.
    """
    if not encoded.images:
        raise RecordError("no_picture", "it is text only, or its pictures are not there")
    if probe == "shuffled_images" and not donor:
        raise RecordError("no_other_picture", "all Comparisons near it show the same pictures")
    places = count()

    def change(picture: EncodedImage) -> EncodedImage:
        if probe == "shuffled_images":
            assert donor
            key, data = donor[next(places) % len(donor)]
            return replace(picture, key=key, data=data, resized=False)
        pixels = _noise(picture) if probe == "noise_images" else np.full(_shape(picture), _GREY, np.uint8)
        key = hashlib.sha256(f"{probe} {picture.key} {_shape(picture)}".encode()).hexdigest()
        return replace(picture, key=key, data=_file_of(pixels), resized=True)

    return replace(encoded, images=tuple(_changed(span, change) for span in encoded.images))


def donors(ids: Sequence[str], keys: Sequence[frozenset[str]]) -> list[int | None]:
    """For each of some Comparisons [N] another whose pictures it may be shown in place of its own.

    The next in the order of the hashes of their ids that has pictures, none of which it has itself; None where it has
    no pictures, or there is no such other.

    Args:
        ids: of the Comparisons, [N].
        keys: sha256 of the pictures of each, [N].
    """
    hashes = [hashlib.sha256(f"{name} {place}".encode()).hexdigest() for place, name in enumerate(ids)]
    order = sorted((place for place in range(len(ids)) if keys[place]), key=hashes.__getitem__)
    found: list[int | None] = [None] * len(ids)
    for at, place in enumerate(order):
        following = order[at + 1 :] + order[:at]
        found[place] = next((other for other in following if keys[place].isdisjoint(keys[other])), None)
    return found


def _changed(span: VisionSpan, change: Callable[[EncodedImage], EncodedImage]) -> VisionSpan:
    if isinstance(span, EncodedVideo):
        return replace(span, frames=tuple(map(change, span.frames)))
    return change(span)


def _noise(picture: EncodedImage) -> npt.NDArray[np.uint8]:
    """The same noise for the same picture, whoever asks."""
    seed = int(hashlib.sha256(picture.key.encode()).hexdigest(), 16)
    return np.random.default_rng(seed).integers(0, 256, _shape(picture), dtype=np.uint8)


def _shape(picture: EncodedImage) -> tuple[int, int, int]:
    return picture.height, picture.width, 3


def _file_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
