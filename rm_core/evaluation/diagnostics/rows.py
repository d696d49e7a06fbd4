"""Rows of prepared data as probes change them, and the lines in which their rewards are kept.

row -> its tokens and pictures, or texts that are encoded anew -> Probed -> {"changed", "rewards"} or "error"
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import EncodedComparison, Encoder, check_length, check_tokens
from data_pipeline.encoding.spans import EncodedImage, EncodedVideo, VisionSpan
from data_pipeline.encoding.tokenizer import ChatTokenizer
from data_pipeline.errors import CorruptData, RecordError
from data_pipeline.media import Image, Video, decode_rgb
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.readers.files import read_rows
from rm_core.evaluation.diagnostics.pictures import Donor, changed_pictures, donors
from rm_core.evaluation.diagnostics.probes import Probed
from rm_core.evaluation.diagnostics.texts import changed_text
from rm_core.evaluation.names import FORMAT_PROBES, PICTURE_PROBES
from rm_core.scoring.scorer import Scores

__all__ = ["ProbedRows", "changed_responses", "check_budget", "probe_rows", "probed_fields", "read_probed"]


class ProbedRows:
    """Reads rows of prepared data with a change.

    Args:
        tokenizer: the model's, by which the data were prepared.
        token_budget: a longer Comparison is left out.
    """

    def __init__(self, data: PreparedData, tokenizer: ChatTokenizer, token_budget: int) -> None:
        self._data = data
        self._encoder = Encoder(tokenizer, data.manifest.reading.encode)
        self._max_tokens = data.manifest.reading.max_tokens
        self._token_budget = token_budget

    def row(self, index: int, probe: str, donor: Donor | None) -> tuple[EncodedComparison, tuple[bool, ...]]:
        """Comparison `index` with the change, and which of its responses have it.

        Raises:
            RecordError: the change can't be made; ``cut``: the model reads only a part of its text.
        """
        if probe in PICTURE_PROBES:
            return changed_pictures(self._data.encoded(index), probe, donor), ()
        whole = self._data.whole(index)
        if whole.num_tokens != self._data.encoded(index).num_tokens:
            raise RecordError("cut", f"{whole.num_tokens} tokens before it was cut")
        comparison = self._data.comparison(index)
        spans = dict(zip(comparison.image_slots(), whole.images, strict=True))
        changed = changed_text(comparison, probe)
        encoded = self._encoder.encode(changed, [_medium(spans[slot]) for slot in range(len(comparison.media))])
        check_tokens(changed, encoded, labelled=False)
        check_length(encoded, self._max_tokens)
        check_budget(encoded, self._token_budget)
        return encoded, changed_responses(comparison, changed, probe)

    def donors_of(self, block: Sequence[int]) -> dict[int, Donor]:
        """Pictures for each row of a block, of another one of it."""
        items = [self._data.encoded(index) for index in block]
        keys = [frozenset(picture.key for picture in item.pictures) for item in items]
        found = donors([f"{item.source} {item.id}" for item in items], keys)
        pictures = [[(picture.key, picture.data) for picture in item.pictures] for item in items]
        return {index: pictures[other] for index, other in zip(block, found, strict=True) if other is not None}


def probe_rows(
    scorer: Scores, reader: ProbedRows, probe: str, rows: Sequence[int], block: Sequence[int]
) -> list[Probed]:
    """Rewards of rows with a change, in their order; of reversed answers those of the answers as they were read.

    Args:
        rows: some of `block`.
        block: rows that may be shown each other's pictures.
    """
    pictures = reader.donors_of(block) if probe == "shuffled_images" else {}
    read: list[tuple[EncodedComparison, tuple[bool, ...]] | RecordError] = []
    for index in rows:
        try:
            read.append(reader.row(index, probe, pictures.get(index)))
        except RecordError as error:
            read.append(error)
    items = [one[0] for one in read if not isinstance(one, RecordError)]
    rewards = iter(scorer.score(items, blank=probe == "blank_images"))
    return [
        Probed(None, str(one)) if isinstance(one, RecordError) else Probed(next(rewards), "", one[1]) for one in read
    ]


def changed_responses(comparison: Comparison, changed: Comparison, probe: str) -> tuple[bool, ...]:
    """Whether the text of each response is another one; empty for a probe that does not change responses."""
    if probe not in FORMAT_PROBES:
        return ()
    return tuple(one.parts != other.parts for one, other in zip(comparison.responses, changed.responses, strict=True))


def check_budget(encoded: EncodedComparison, token_budget: int) -> None:
    """Refuse what a packed row has no room for, since the change made it longer.

    Raises:
        RecordError: ``too_long``.
    """
    if encoded.num_tokens > token_budget:
        raise RecordError("too_long", f"{encoded.num_tokens} tokens, evaluate.token_budget={token_budget}")


def read_probed(url: str, probe: str, count: int) -> list[Probed]:
    """What was kept of a probe: one for each Comparison, in their order, its rewards in its own order.

    Raises:
        CorruptData: there is another number of lines, or one is none of ours.
    """
    found = []
    for row, record in read_rows(url):
        if isinstance(record, RecordError):
            raise CorruptData(f"line {row + 1} of {url!r} holds no rewards: {record}; delete the file")
        found.append(_probed(record, probe))
    if len(found) != count:
        raise CorruptData(f"{url!r} holds {len(found)} lines, not {count}; delete the file, it is made again")
    return found


def probed_fields(place: int, one: Probed) -> str:
    """A line of a split's row without its rewards, as JSON."""
    return json.dumps({"row": place, **({"changed": list(one.changed)} if one.changed else {})})


def _probed(record: Mapping[str, Any], probe: str) -> Probed:
    rewards = record["rewards"]
    if rewards is None:
        return Probed(None, record["error"])
    in_order = rewards[::-1] if probe == "reversed_answers" else rewards
    return Probed(tuple(in_order), "", tuple(record.get("changed", ())))


def _medium(span: VisionSpan) -> Image | Video:
    """A picture as a record names it, of the size that the model sees: encoding it again keeps that size."""
    if isinstance(span, EncodedVideo):
        return Video(tuple(map(_image, span.frames)), span.seconds_per_step)
    return _image(span)


def _image(picture: EncodedImage) -> Image:
    width, height = picture.width, picture.height
    if picture.format.tile:  # its size is that of all tiles, for which another grid of them might be chosen
        width, height = decode_rgb(picture.data).size
    return Image(data=picture.data, sha256=picture.key, width=width, height=height)
