"""What cleaning refuses, what counts as the same, and the split."""

from dataclasses import replace
from typing import Any

import pytest

from data_pipeline.errors import RecordError
from data_pipeline.records.checks import check, content_key
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn

GOOD = Comparison(
    id="1",
    source="s",
    prompt=(Turn("user", (ImageSlot(0), "What is it?")),),
    responses=(Response(("A bus.",), 0), Response(("A dog.",), 1)),
    media=(MediaRef(path="a.png"),),
)


def answers(*texts: str, ranks: tuple[int, ...] = (0, 1, 2, 3)) -> tuple[Response, ...]:
    return tuple(Response((text,), rank) for text, rank in zip(texts, ranks, strict=False))


def test_a_good_one_passes() -> None:
    check(GOOD)
    check(replace(GOOD, responses=answers("\N{FAMILY}\u200d", "\u0301", "0")))
    check(replace(GOOD, responses=answers("same", "same", "other", ranks=(0, 0, 1))))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"responses": answers("a")}, "fewer_than_two_responses"),
        ({"prompt": ()}, "empty_prompt"),
        ({"prompt": (Turn("system", ("Be brief.",)), Turn("user", (" \n",)))}, "empty_prompt"),
        ({"responses": answers("a", " ")}, "empty_response"),
        ({"responses": answers("a", "\u200b")}, "empty_response"),
        ({"responses": answers("a", "\ufeff\x00\u202e \u2060")}, "empty_response"),
        ({"prompt": (Turn("user", ("\u200d\u00ad",)),)}, "empty_prompt"),
        ({"responses": answers("a", "a ")}, "identical_responses"),
        ({"responses": answers("a", "a", ranks=(0, 0))}, "identical_responses"),
        ({"responses": answers("a", "b", "a")}, "identical_responses"),
        ({"responses": answers("a", "b", ranks=(0, 0))}, "no_preference"),
        ({"media": ()}, "image_slot_mismatch"),
        ({"media": (MediaRef(path="a"), MediaRef(path="b"))}, "image_slot_mismatch"),
        ({"prompt": (Turn("tool", ("x",)),)}, "unknown_role"),
        ({"split": "test"}, "unknown_split"),
        ({"responses": answers("a", "half \ud83d")}, "invalid_text"),
    ],
)
def test_refusals(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        check(replace(GOOD, **change))
    assert caught.value.reason == reason


def test_content_key_is_content_and_nothing_else() -> None:
    key = content_key(GOOD, ["h1"])
    assert key == content_key(replace(GOOD, id="2", source="t", responses=GOOD.responses[::-1]), ["h1"])
    assert key != content_key(GOOD, ["h2"])
    assert key != content_key(replace(GOOD, prompt=(Turn("user", ("What is it?", ImageSlot(0))),)), ["h1"])
    assert key != content_key(replace(GOOD, responses=answers("A bus.", "A dog.", ranks=(1, 0))), ["h1"])


def test_content_key_overlooks_line_breaks_beside_an_image() -> None:
    one, other, third = (
        replace(GOOD, prompt=(Turn("user", parts),))
        for parts in ((ImageSlot(0), "Which?"), (ImageSlot(0), "\nWhich?"), (ImageSlot(0), "Which?\n"))
    )
    assert content_key(one, ["h1"]) == content_key(other, ["h1"]) != content_key(third, ["h1"])
