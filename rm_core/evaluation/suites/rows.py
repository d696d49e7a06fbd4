"""Rows of a suite with their pictures, verified; what is missing ends the command, or is left out and counted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_pipeline.config import MediaConfig
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.media import Image, Video, frames_of, load_medium
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part
from data_pipeline.records.selection import with_frames
from rm_core.evaluation.suites.files import SuiteData, comparisons_in

__all__ = ["Medium", "ReadRow", "SuiteRows", "without_media"]

Medium = Image | Video

_OF_MEDIA = (
    "missing_media", "broken_image", "media_too_large", "unsafe_path", "remote_media", "unavailable_media",
    "frames_differ", "video_file", "broken_video",
)  # fmt: skip


@dataclass(frozen=True)
class ReadRow:
    """A row with its pictures."""

    index: int
    comparison: Comparison
    """Without what is missing."""
    media: tuple[Medium, ...]
    missing: int

    @property
    def images(self) -> list[Image]:
        """Pictures, and frames of videos."""
        return [image for one in self.media for image in (one.frames if isinstance(one, Video) else (one,))]

    def fields(self, suite: str) -> dict[str, Any]:
        """What a kept line says of the row beside its rewards."""
        return {
            "suite": suite,
            "index": self.index,
            "id": self.comparison.id,
            "pictures": [image.sha256 for image in self.images],
            "hashes": [image.perceptual_hash or 0 for image in self.images],
            "missing_pictures": self.missing,
        }


class SuiteRows:
    """Reads rows of a suite.

    Args:
        without_pictures: read a row without those of its pictures that are not there, and count them.
    """

    def __init__(self, data: SuiteData, media: MediaConfig, *, without_pictures: bool) -> None:
        self._data = data
        self._media = media
        self._without_pictures = without_pictures

    def read(self, start: int, count: int) -> Iterator[ReadRow]:
        """Rows [start, start + count), in order.

        Raises:
            MissingInput: a picture is not there, or none; the message says what may be done.
        """
        for index, comparison in enumerate(comparisons_in(self._data, start, count), start):
            yield self.row(index, comparison)

    def chosen(self, places: Sequence[int]) -> Iterator[ReadRow]:
        """Some rows, their places ascending; pictures of others are not read.

        Raises:
            MissingInput: as for `read`.
        """
        wanted = set(places)
        for index, comparison in enumerate(comparisons_in(self._data, 0, max(wanted, default=-1) + 1)):
            if index in wanted:
                yield self.row(index, comparison)

    def row(self, index: int, comparison: Comparison) -> ReadRow:
        """Row `index`, whose texts are read.

        Raises:
            MissingInput: as for `read`.
        """
        missing: list[int] = []
        media: list[Medium] = []
        if self._media.videos == "frames":
            comparison = with_frames(comparison, lambda ref: self._frames(index, ref))
        for place, ref in enumerate(comparison.media):
            found = self._medium(index, ref)
            if found is None:
                missing.append(place)
            else:
                media.append(found)
        return ReadRow(index, without_media(comparison, missing), tuple(media), len(missing))

    def _frames(self, index: int, ref: MediaRef) -> Sequence[MediaRef]:
        """The frames of a video; the video itself where it is missing, so that it is counted once."""
        try:
            return frames_of(ref, self._data.media_root, self._media).refs
        except RecordError as error:
            self._refuse(index, error)
            return (ref,)

    def _medium(self, index: int, ref: MediaRef) -> Medium | None:
        """The picture or video; None where it is missing and may be."""
        try:
            return load_medium(ref, self._data.media_root, self._media)
        except RecordError as error:
            self._refuse(index, error)
            return None

    def _refuse(self, index: int, error: RecordError) -> None:
        """Raise what a picture that can't be had means, unless it is missing and may be."""
        name = self._data.suite.name
        if error.reason not in _OF_MEDIA:
            raise error
        if error.reason != "missing_media":
            raise MissingInput(f"a picture of row {index} of {name} can't be read: {error}") from error
        if not self._without_pictures:
            raise MissingInput(
                f"a picture of row {index} of {name} is not there: {error} ({self._data.media_root}); fetch the "
                f"pictures, name the folder that their paths start from with evaluate.suite_media.{name}=..., or score "
                "without them, which the report then says, with evaluate.missing_pictures=without"
            ) from error


def without_media(comparison: Comparison, places: Sequence[int]) -> Comparison:
    """The same texts without the media at `places` and without their slots."""
    if not places:
        return comparison
    gone = set(places)
    kept = [place for place in range(len(comparison.media)) if place not in gone]
    new = {old: place for place, old in enumerate(kept)}

    def moved(parts: Sequence[Part]) -> tuple[Part, ...]:
        left = (part for part in parts if not (isinstance(part, ImageSlot) and part.index in gone))
        return tuple(ImageSlot(new[part.index]) if isinstance(part, ImageSlot) else part for part in left)

    return replace(
        comparison,
        prompt=tuple(replace(turn, parts=moved(turn.parts)) for turn in comparison.prompt),
        responses=tuple(replace(response, parts=moved(response.parts)) for response in comparison.responses),
        media=tuple(comparison.media[place] for place in kept),
    )
