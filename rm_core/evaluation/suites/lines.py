"""Rows of a suite to score, as lines: the same reading and checks as training data, and what is kept of each.

    row -> its pictures -> Line(fields, encoded or error) -> one line of JSON with ``rewards``, or with ``error``

A kept line: ``{"suite", "index", "id", "pictures", "hashes", "missing_pictures", "rewards"}``. With a probe the row is
changed before it is scored (`rm_core.evaluation.diagnostics`), and the line says which responses changed.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from data_pipeline.config import MediaConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder, check_length, check_tokens
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.media import Image, Video, frames_of, load_image, load_video
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part
from data_pipeline.records.selection import with_frames
from data_pipeline.sources.readers.files import RowRange
from rm_core.evaluation.diagnostics.names import PICTURE_PROBES, TEXT_PROBES
from rm_core.evaluation.diagnostics.pictures import BLOCK, Donor, changed_pictures, donors
from rm_core.evaluation.diagnostics.rows import changed_responses, check_budget
from rm_core.evaluation.diagnostics.texts import changed_text
from rm_core.evaluation.suites.files import SuiteData, comparisons_in
from rm_core.scoring.lines import Line

__all__ = ["SuiteReader", "without_media"]

Medium = Image | Video

_OF_MEDIA = (
    "missing_media", "broken_image", "media_too_large", "unsafe_path", "remote_media", "unavailable_media",
    "frames_differ", "video_file",
)  # fmt: skip


@dataclass(frozen=True)
class _Read:
    """A row with its pictures."""

    index: int
    comparison: Comparison
    media: tuple[Medium, ...]
    missing: int

    @property
    def images(self) -> list[Image]:
        """Pictures, and frames of videos."""
        return [image for one in self.media for image in (one.frames if isinstance(one, Video) else (one,))]


class SuiteReader:
    """Reads rows of a suite as lines to score.

    Args:
        max_tokens: longest prompt plus longest response; a longer row is not scored.
        without_pictures: score a row without those of its pictures that are not there, and say so.
        probe: the change that is made to every row; None: none.
        token_budget: a row that the change makes longer is left out.
    """

    def __init__(
        self,
        data: SuiteData,
        encoder: Encoder,
        media: MediaConfig,
        max_tokens: int,
        *,
        without_pictures: bool,
        probe: str | None = None,
        token_budget: int = sys.maxsize,
    ) -> None:
        self._data = data
        self._encoder = encoder
        self._media = media
        self._max_tokens = max_tokens
        self._without_pictures = without_pictures
        self._probe = probe
        self._token_budget = token_budget

    def lines(self, part: RowRange) -> Iterator[Line]:
        """One for each of the rows [start, start + count).

        Raises:
            MissingInput: a picture is not there, or none; the message says what may be done.
        """
        comparisons = enumerate(comparisons_in(self._data, part.start, part.count), part.start)
        rows = (self._read(index, comparison) for index, comparison in comparisons)
        if self._probe != "shuffled_images":
            yield from (self._line(row, None) for row in rows)
            return
        assert part.start % BLOCK == 0, "parts begin where blocks do"
        while block := list(islice(rows, BLOCK)):
            yield from self._shuffled(block)

    def take_unread(self) -> dict[str, int]:
        """Nothing: a suite's fields are known."""
        return {}

    def _shuffled(self, block: Sequence[_Read]) -> Iterator[Line]:
        """Rows that are shown each other's pictures."""
        keys = [frozenset(image.sha256 for image in row.images) for row in block]
        others = donors([row.comparison.id for row in block], keys)
        for row, other in zip(block, others, strict=True):
            yield self._line(row, None if other is None else [(one.sha256, one.data) for one in block[other].images])

    def _line(self, row: _Read, donor: Donor | None) -> Line:
        fields = {
            "suite": self._data.suite.name,
            "index": row.index,
            "id": row.comparison.id,
            "pictures": [image.sha256 for image in row.images],
            "hashes": [image.perceptual_hash or 0 for image in row.images],
            "missing_pictures": row.missing,
        }
        try:
            encoded, changed = self._encoded(row, donor)
        except RecordError as error:
            return Line(json.dumps(fields), None, str(error))
        return Line(json.dumps(fields | ({"changed": changed} if changed else {})), encoded, None)

    def _encoded(self, row: _Read, donor: Donor | None) -> tuple[EncodedComparison, tuple[bool, ...]]:
        comparison = changed_text(row.comparison, self._probe) if self._probe in TEXT_PROBES else row.comparison
        check(comparison, labelled=False)
        encoded = self._encoder.encode(comparison, row.media)
        check_tokens(comparison, encoded, labelled=False)
        check_length(encoded, self._max_tokens)
        if self._probe is None:
            return encoded, ()
        check_budget(encoded, self._token_budget)
        if self._probe in PICTURE_PROBES:
            return changed_pictures(encoded, self._probe, donor), ()
        return encoded, changed_responses(row.comparison, comparison, self._probe)

    def _read(self, index: int, comparison: Comparison) -> _Read:
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
        return _Read(index, without_media(comparison, missing), tuple(media), len(missing))

    def _frames(self, index: int, ref: MediaRef) -> Sequence[MediaRef]:
        """The frames of a video; the video itself where it is missing, so that it is counted once."""
        try:
            return frames_of(ref, self._data.media_root, self._media).refs
        except RecordError as error:
            self._refuse(index, error)
            return (ref,)

    def _medium(self, index: int, ref: MediaRef) -> Medium | None:
        """The picture or video; None where it is missing and may be."""
        root = self._data.media_root
        try:
            if ref.is_video:
                return load_video(ref, root, self._media, lambda frame: load_image(frame, root, self._media))
            return load_image(ref, root, self._media)
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
