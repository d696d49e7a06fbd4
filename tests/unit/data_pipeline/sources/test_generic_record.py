"""A Comparison of any shape as a generic record: read again it is the same Comparison."""

import json
from dataclasses import replace

import pytest

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Reasoning, Response, Turn
from data_pipeline.sources.generic_record import record_of
from data_pipeline.sources.registry import adapter_of

SOURCE = SourceConfig(name="mine", path="mine.jsonl")
WHOLE = Comparison(
    id="7", source="mine",
    prompt=(
        Turn("system", ("Be brief.",)),
        Turn("user", ("Is ", ImageSlot(0), " like", ImageSlot(1), "? A <image> tag is text.")),
        Turn("assistant", ("Yes.",)), Turn("user", ("Why?",)),
    ),
    responses=(Response(("Red.",), 0, 5.0, "Good."), Response(("Blue <image>.",), 1, 2.5)),
    media=(MediaRef(path="images/a.png"), MediaRef(data=b"\x89PNG")),
    reasonings=(Reasoning(1, 0, "So."),),
)  # fmt: skip


def again(comparison: Comparison) -> Comparison:
    made = adapter_of("jsonl")(json.loads(json.dumps(record_of(comparison))), SOURCE, 0)
    assert isinstance(made, Comparison)
    return made


def test_it_is_the_same_comparison() -> None:
    assert again(WHOLE) == WHOLE
    ranked = tuple(
        Response((text,), rank, score) for text, rank, score in (("a", 1, 3.0), ("b", 0, None), ("c", 1, 9.0))
    )
    found = again(replace(WHOLE, responses=ranked))
    assert [one.rank for one in found.responses] == [1, 0, 1]
    contradicts = tuple(Response((text,), rank, score) for text, rank, score in (("a", 1, 3.0), ("b", 0, 1.0)))
    assert [one.rank for one in again(replace(WHOLE, responses=contradicts)).responses] == [1, 0], (
        "ranks are the labels"
    )


def test_answers_that_are_pictures() -> None:
    pictures = (Response((ImageSlot(2),), 0), Response(("As ", ImageSlot(3), "."), 1))
    shown = (*WHOLE.media, MediaRef(path="b.png"), MediaRef(data=b"GIF8"))
    assert again(replace(WHOLE, responses=pictures, media=shown, reasonings=())) == replace(
        WHOLE, responses=pictures, media=shown, reasonings=()
    )


def test_a_video_has_no_place() -> None:
    with pytest.raises(RecordError, match="unsupported_media: a video"):
        record_of(replace(WHOLE, media=(MediaRef(path="frames", is_video=True), WHOLE.media[1])))
