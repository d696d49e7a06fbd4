"""What counts as nearly the same, who wins, and that crowds of similar rows stay affordable."""

from typing import Any

import numpy as np
import pytest
from filter_toys import Picture, row, table

from data_pipeline.config import NearDuplicateConfig
from data_pipeline.filtering import near_duplicates as module
from data_pipeline.filtering.near_duplicates import near_duplicates

PROMPT = "Look at the picture and tell me in a few words which of the two vehicles is the larger one and why " * 3
LEFT = "The bus on the left side is the larger one because it has two floors and a long body " * 3
RIGHT = "The small car on the right is the larger one since it stands nearer to the one who looks " * 3
PICTURE = ("k1", 0x0123_4567_89AB_CDEF)
OTHER = ("k2", 0x0F0F_3C3C_5A5A_9696)


def like(*rows: dict[str, Any], similarity: float = 0.8, image_distance: int = 3) -> list[int]:
    config = NearDuplicateConfig(similarity=similarity, image_distance=image_distance)
    return near_duplicates(table(rows), np.arange(len(rows)), config).tolist()


def base(
    prompt: str = PROMPT, responses: tuple[str, ...] = (LEFT, RIGHT), images: Any = (), **more: Any
) -> dict[str, Any]:
    return row(prompt, responses, images, **more)


def test_similar_rows_are_found_and_the_first_stays() -> None:
    changed = base(PROMPT + "please", (LEFT + "!", RIGHT.replace("small", "little", 1)))
    assert like(base(), changed, base("Something else is asked here in other words.")) == [-1, 0, -1]
    assert near_duplicates(
        table([base(), changed]), np.array([1, 0]), NearDuplicateConfig(similarity=0.8)
    ).tolist() == [1, -1]


@pytest.mark.parametrize(
    "other",
    [
        base("Which of these two would you rather take to work on a day of rain, and for what reasons would you?"),
        base(responses=(LEFT, "I would not know, since the picture shows neither of them from the side.")),
        base(responses=(RIGHT, LEFT)),
        base(responses=(LEFT, RIGHT), ranks=(1, 0)),
        base(images=[PICTURE]),
    ],
    ids=["prompt", "one response", "swapped answers", "swapped ranks", "an image more"],
)
def test_what_differs_in_one_of_three_is_no_duplicate(other: dict[str, Any]) -> None:
    assert like(base(), other) == [-1, -1]


@pytest.mark.parametrize(
    ("one", "other", "distance", "expected"),
    [
        (PICTURE, ("k9", PICTURE[1] ^ 0b111), 3, 0),
        (PICTURE, ("k9", PICTURE[1] ^ (1 | 1 << 20 | 1 << 40)), 3, 0),
        (PICTURE, ("k9", PICTURE[1] ^ 0b111), 2, -1),
        (PICTURE, ("k9", PICTURE[1] ^ 0b1111), 3, -1),
        (PICTURE, OTHER, 3, -1),
        (("k1", 0), ("k1", 0), 0, 0),
        (("k1", 0), ("k2", 0), 3, -1),
        (("k1", 0), ("k2", 1), 3, -1),
    ],
    ids=["3 bits", "in 3 pieces", "2 allowed", "4 bits", "another", "one flat file", "two flat files", "flat and not"],
)
def test_images(one: Picture, other: Picture, distance: int, expected: int) -> None:
    found = like(base(images=[one]), base(images=[other]), image_distance=distance)
    assert found == [-1, expected]


def test_every_image_counts_in_its_order() -> None:
    assert like(base(images=[PICTURE, OTHER]), base(images=[PICTURE, OTHER])) == [-1, 0]
    assert like(base(images=[PICTURE, OTHER]), base(images=[PICTURE, PICTURE])) == [-1, -1]
    assert like(base(images=[PICTURE, OTHER]), base(images=[OTHER, PICTURE])) == [-1, -1]


def test_images_as_answers_with_swapped_ranks_are_no_duplicates() -> None:
    shown: dict[str, Any] = {"responses": ("", ""), "images": [PICTURE, OTHER], "in_responses": 2}
    assert like(base(**shown), base(**shown)) == [-1, 0]
    assert like(base(**shown), base(**shown, ranks=(1, 0))) == [-1, -1]


def test_similarity_unset_finds_nothing() -> None:
    assert near_duplicates(table([base(), base()]), np.arange(2), NearDuplicateConfig()).tolist() == [-1, -1]


def test_rows_outside_the_order_take_no_part() -> None:
    found = near_duplicates(table([base(), base(), base()]), np.array([1, 2]), NearDuplicateConfig(similarity=0.9))
    assert found.tolist() == [-1, -1, 1]


def test_a_refused_row_refuses_no_other() -> None:
    """B is like A, C is like B but not like A: B goes, C stays."""
    signatures = np.ones((3, 64), dtype="<u2")
    signatures[1:, :8] = 2  # B: 56 of 64 values as A
    signatures[2, 8:16] = 2  # C: 56 as B, 48 as A
    found = like(*(base(prompt_minhash=one.tobytes()) for one in signatures), similarity=0.85)
    assert found == [-1, 0, -1]


def test_a_crowd_of_similar_rows_leaves_one() -> None:
    crowd = [base(f"{PROMPT} number {i}") for i in range(60)]
    found = like(*crowd, similarity=0.75)
    assert found[0] == -1 and found.count(-1) == 1


def test_work_is_bounded_in_a_crowd_of_rows_that_are_not_similar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of one prompt and one answer that meet in every band: at most window + 1 comparisons a row and band."""
    compared = 0
    inner = module._similar

    def counting(rows: Any, pairs: Any, config: Any) -> Any:
        nonlocal compared
        compared += len(pairs)
        return inner(rows, pairs, config)

    monkeypatch.setattr(module, "_similar", counting)
    flat = [
        base("Describe it.", ("yes", "no"), [(f"k{i}", 0x00FF_00FF_00FF_00FF), (f"other{i}", 0)]) for i in range(300)
    ]
    assert like(*flat) == [-1] * 300
    assert compared <= 300 * 32 * 9


def test_frames_of_a_prompt_are_no_pictures_of_the_answers() -> None:
    """Four frames are one span of the prompt: which answer stands first plays no part, as with a still image."""
    frames = [(f"f{place}", PICTURE[1] ^ (0x1111_1111 << place)) for place in range(4)]
    video: dict[str, Any] = {
        "images": frames, "turn_images": [0, 1, 0], "image_patches": [64], "span_frames": [4]
    }  # fmt: skip
    swapped = base(responses=(RIGHT, LEFT), ranks=(1, 0), **video)
    assert like(base(**video), swapped) == [-1, 0]
    drawn = {**video, "turn_images": [0, 0, 0]}
    assert like(base(**drawn), base(responses=(RIGHT, LEFT), ranks=(1, 0), **drawn)) == [-1, -1]
