"""A Comparison of any shape as a record of the generic one (`adapters.jsonl`), for whoever adds to it.

Pictures stand in the parts of turns; paths stay relative to the media root of the source, and bytes become base64.
"""

import base64
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part, Response, ranks_from_scores
from data_pipeline.sources.parsing.fields import IMAGE_TAG

__all__ = ["record_of"]


def record_of(comparison: Comparison) -> dict[str, Any]:
    """The record, as JSON holds it; `adapters.jsonl` makes an equal Comparison of it.

    Raises:
        RecordError: unsupported_media: it shows a video, for which the generic shape has no place.
    """
    if any(ref.is_video for ref in comparison.media):
        raise RecordError("unsupported_media", "a video: records of shape jsonl show none")
    scores = [one.score for one in comparison.responses if one.score is not None]
    ranks = tuple(one.rank for one in comparison.responses)
    by_score = len(scores) == len(ranks) and ranks_from_scores(scores) == ranks
    record: dict[str, Any] = {
        "id": comparison.id,
        "prompt": [
            {"role": turn.role, "content": [_part(part, comparison.media) for part in turn.parts]}
            for turn in comparison.prompt
        ],
        "responses": [_response(one, comparison.media, scored=by_score) for one in comparison.responses],
    }
    if comparison.reasonings:
        record["reasonings"] = [asdict(one) for one in comparison.reasonings]
    return record


def _part(part: Part, media: Sequence[MediaRef]) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    ref = media[part.index]
    return {"type": "image", **({"path": ref.path} if ref.data is None else {"base64": _base64(ref.data)})}


def _response(response: Response, media: Sequence[MediaRef], *, scored: bool) -> dict[str, Any]:
    shown = [media[part.index] for part in response.parts if isinstance(part, ImageSlot)]
    texts = (IMAGE_TAG if isinstance(part, ImageSlot) else part for part in response.parts)
    record: dict[str, Any] = {"text": "".join(texts)}
    record |= {"score": response.score} if scored else {"rank": response.rank}
    if shown:
        record["image"] = [
            ref.path if ref.data is None else f"data:application/octet-stream;base64,{_base64(ref.data)}"
            for ref in shown
        ]
    if response.critique is not None:
        record["critique"] = response.critique
    return record


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
