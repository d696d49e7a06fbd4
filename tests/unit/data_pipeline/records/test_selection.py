"""Hard pairs and videos as frames: what stays, and that every slot still finds its picture."""

from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from data_pipeline.records.selection import extremes, with_frames


def rated(*ranks: int) -> Comparison:
    return Comparison(
        id="1",
        source="s",
        prompt=(Turn("user", ("Which?",)),),
        responses=tuple(Response((f"answer {i}",), rank, float(9 - rank)) for i, rank in enumerate(ranks)),
    )


def test_extremes_are_the_first_best_and_the_first_worst() -> None:
    pair = extremes(rated(1, 0, 2, 0, 2)).responses
    assert [(one.text, one.rank, one.score) for one in pair] == [("answer 1", 0, 9.0), ("answer 2", 1, 7.0)]
    worst_first = extremes(rated(3, 1, 0)).responses
    assert [(one.text, one.rank) for one in worst_first] == [("answer 0", 1), ("answer 2", 0)]
    tie = rated(0, 0)
    assert extremes(tie) == tie


def test_extremes_let_go_of_pictures_nobody_shows() -> None:
    refs = tuple(MediaRef(path=f"{i}.png") for i in range(4))
    drawn = Comparison(
        id="1",
        source="s",
        prompt=(Turn("user", ("Draw a bus like", ImageSlot(3))),),
        responses=tuple(Response((ImageSlot(i),), rank) for i, rank in enumerate((2, 1, 0))),
        media=refs,
    )
    pair = extremes(drawn)
    check(pair)
    shown = [pair.media[slot].path for slot in pair.image_slots()]
    assert shown == ["3.png", "0.png", "2.png"]


def test_extremes_leave_a_slot_without_picture_to_cleaning() -> None:
    broken = Comparison(
        id="1",
        source="s",
        prompt=(Turn("user", (ImageSlot(5),)),),
        responses=(Response(("a",), 0), Response(("b",), 1)),
        media=(MediaRef(path="0.png"), MediaRef(path="1.png")),
    )
    assert extremes(broken).image_slots() == [5]


def test_a_video_becomes_its_frames_where_it_stood() -> None:
    comparison = Comparison(
        id="1",
        source="s",
        prompt=(Turn("user", ("Before", ImageSlot(0), "clip", ImageSlot(1), "after", ImageSlot(2))),),
        responses=(Response(("a",), 0), Response(("b",), 1)),
        media=(MediaRef(path="0.png"), MediaRef(path="clip", is_video=True), MediaRef(path="2.png")),
    )
    frames = (MediaRef(path="clip/1.png"), MediaRef(path="clip/2.png"))
    shown = with_frames(comparison, lambda ref: frames if ref.path == "clip" else ())
    assert [ref.path for ref in shown.media] == ["0.png", "clip/1.png", "clip/2.png", "2.png"]
    assert shown.prompt[0].parts == (
        "Before", ImageSlot(0), "clip", ImageSlot(1), ImageSlot(2), "after", ImageSlot(3),
    )  # fmt: skip
    check(shown)
