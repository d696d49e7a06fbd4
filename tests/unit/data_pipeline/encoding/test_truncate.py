"""Which turns and tokens a cut takes away."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_pipeline.encoding.truncate import POLICIES, Cut, cut

TURNS = [20, 40, 40, 40, 3]
NO_IMAGES = [0] * 5


@pytest.mark.parametrize(
    ("policy", "max_tokens", "expected"),
    [
        ("nothing", 173, Cut(0, (10, 30))),
        ("nothing", 172, None),
        ("turns", 172, Cut(2, (10, 30))),
        ("turns", 93, Cut(2, (10, 30))),
        ("turns", 92, None),
        ("responses", 92, Cut(2, (10, 29))),
        ("responses", 70, Cut(2, (7, 7))),
        ("responses", 65, Cut(2, (2, 2))),
        ("responses", 64, None),
    ],
)
def test_turns_first_then_responses(policy: str, max_tokens: int, expected: Cut | None) -> None:
    assert cut(TURNS, NO_IMAGES, [10, 30], [0, 0], max_tokens, policy) == expected


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([0, 1, 0, 0, 0], None),  # the first turn holds the image: nothing can go
        ([0, 0, 1, 0, 0], None),  # one could go, but then an assistant would speak first
        ([0, 0, 0, 1, 0], Cut(2, (10, 30))),
    ],
)
def test_a_turn_with_an_image_ends_the_dropping(images: list[int], expected: Cut | None) -> None:
    assert cut(TURNS, images, [10, 30], [0, 0], 100, "turns") == expected


def test_a_conversation_that_an_assistant_begins_loses_that_turn_first() -> None:
    assert cut([20, 40, 40, 3], [0] * 4, [10, 30], [0, 0], 100, "turns") == Cut(1, (10, 30))


def test_the_question_stays() -> None:
    assert cut([20, 40, 3], [0] * 3, [10, 30], [0, 0], 60, "turns") is None


def test_a_response_is_never_cut_below_its_floor() -> None:
    assert cut([20, 3], [0, 0], [10, 30], [0, 25], 48, "responses") == Cut(0, (10, 25))
    assert cut([20, 3], [0, 0], [10, 30], [0, 25], 47, "responses") is None


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(ValueError, match="'all', known: nothing, turns, responses"):
        cut(TURNS, NO_IMAGES, [10], [0], 10, "all")


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[list[int], list[int], list[int], list[int]]:
    num_segments = draw(st.integers(3, 9))
    images = [0, *draw(st.lists(st.integers(0, 2), min_size=num_segments - 2, max_size=num_segments - 2)), 0]
    turns = [draw(st.integers(4 + 3 * spans, 40)) for spans in images]
    responses = draw(st.lists(st.integers(2, 60), min_size=2, max_size=4))
    floors = [draw(st.one_of(st.just(0), st.integers(4, max(length, 4)))) for length in responses]
    return turns, images, responses, [min(floor, length) for floor, length in zip(floors, responses, strict=True)]


@given(comparisons(), st.integers(1, 400), st.sampled_from(POLICIES))
def test_what_is_left_fits_and_holds_every_image(
    comparison: tuple[list[int], list[int], list[int], list[int]], max_tokens: int, policy: str
) -> None:
    turns, images, responses, floors = comparison
    left = cut(turns, images, responses, floors, max_tokens, policy)
    whole = sum(turns) + max(responses)
    if whole <= max_tokens:
        assert left == Cut(0, tuple(responses))
    elif policy == "nothing":
        assert left is None
    assume(left is not None)
    assert left is not None
    assert sum(turns) - sum(turns[1 : 1 + left.dropped_turns]) + max(left.response_keep) <= max_tokens
    assert sum(images[1 : 1 + left.dropped_turns]) == 0
    assert left.dropped_turns <= len(turns) - 3
    for kept, length, floor in zip(left.response_keep, responses, floors, strict=True):
        assert max(floor, 2) <= kept <= length
    if policy != "responses":
        assert left.response_keep == tuple(responses)


@given(comparisons(), st.integers(1, 400), st.integers(0, 100), st.sampled_from(POLICIES))
def test_more_room_never_leaves_less(
    comparison: tuple[list[int], list[int], list[int], list[int]], max_tokens: int, more: int, policy: str
) -> None:
    less, roomier = (cut(*comparison, limit, policy) for limit in (max_tokens, max_tokens + more))
    assume(less is not None)
    assert less is not None and roomier is not None
    assert roomier.dropped_turns <= less.dropped_turns
    assert all(one >= other for one, other in zip(roomier.response_keep, less.response_keep, strict=True))


@given(comparisons(), st.integers(1, 400))
def test_a_freer_policy_refuses_nothing_that_a_stricter_one_keeps(
    comparison: tuple[list[int], list[int], list[int], list[int]], max_tokens: int
) -> None:
    nothing, turns, responses = (cut(*comparison, max_tokens, policy) for policy in POLICIES)
    assert nothing is None or nothing == turns
    assert turns is None or turns == responses
