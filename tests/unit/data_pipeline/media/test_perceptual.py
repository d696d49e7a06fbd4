"""The perceptual hash: near for one picture in two files, far for two pictures."""

import itertools
import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from damaged_images import encoded, photograph
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.media import decode_rgb, hash_distance, perceptual_hash

REAL_DATA = Path(os.environ.get("BASEREWARD_REAL_DATA", Path(__file__).parents[4].parent / "shared" / "data"))
PHOTOGRAPHS = [photograph(seed, 360 + 40 * (seed % 5), 300) for seed in range(20)]


def again(picture: PIL.Image.Image, kind: str, **options: int) -> PIL.Image.Image:
    return decode_rgb(encoded(picture, kind, **options))


def resized(picture: PIL.Image.Image, factor: float) -> PIL.Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), PIL.Image.Resampling.BICUBIC)


def distance(first: PIL.Image.Image, second: PIL.Image.Image) -> int:
    one, two = perceptual_hash(first), perceptual_hash(second)
    assert one is not None and two is not None
    return hash_distance(one, two)


def test_it_is_the_dct_hash_of_its_source() -> None:
    """Against the plain formula in floats, with no margin: only bits within the margin may differ, and they are few."""
    for picture in PHOTOGRAPHS[:5]:
        grey = np.asarray(picture.convert("L").resize((32, 32), PIL.Image.Resampling.LANCZOS, reducing_gap=3.0))
        low = cosine_transform(grey.astype(np.float64))[:8, :8].ravel()
        expected = int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")
        found = perceptual_hash(picture)
        assert found is not None and found | expected == expected  # the margin only takes bits away
        assert hash_distance(found, expected) <= 4


def cosine_transform(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    basis = np.array([[math.cos(math.pi * k * (2 * x + 1) / 64) for x in range(32)] for k in range(32)])
    return basis @ grey @ basis.T


@pytest.mark.parametrize("quality", [70, 85, 95])
def test_saving_as_jpeg_moves_few_bits(quality: int) -> None:
    assert max(distance(picture, again(picture, "JPEG", quality=quality)) for picture in PHOTOGRAPHS) <= 3


@pytest.mark.parametrize("factor", [0.5, 0.7, 2.0])
def test_resizing_moves_few_bits(factor: float) -> None:
    assert max(distance(picture, resized(picture, factor)) for picture in PHOTOGRAPHS) <= 3


def test_png_to_jpeg_and_back_moves_few_bits() -> None:
    for picture in PHOTOGRAPHS:
        jpeg = again(picture, "JPEG", quality=90)
        assert distance(picture, again(jpeg, "PNG")) == distance(picture, jpeg) <= 3


def test_lossless_files_share_the_hash() -> None:
    for picture in PHOTOGRAPHS[:5]:
        assert {perceptual_hash(again(picture, kind)) for kind in ("PNG", "BMP", "TIFF")} == {perceptual_hash(picture)}


def test_different_pictures_are_far_apart() -> None:
    distances = [distance(one, two) for one, two in itertools.combinations(PHOTOGRAPHS, 2)]
    assert min(distances) > 10
    assert 28 <= np.median(distances) <= 34


@given(seed=st.integers(0, 10_000), width=st.integers(40, 300), height=st.integers(40, 300))
@settings(max_examples=25)
def test_brightness_does_not_count_and_mirroring_does(seed: int, width: int, height: int) -> None:
    picture = photograph(seed, width, height)
    softer = PIL.Image.fromarray(np.uint8(np.asarray(picture) // 2 + 60))
    assert distance(picture, softer) <= 6
    assert distance(picture, picture.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)) > 10


def waves(value: str) -> PIL.Image.Image:
    y, x = np.mgrid[0:200, 0:300]
    values = {
        "across": x * 255 / 300,
        "down": y * 255 / 200,
        "stripes": (x // 50 % 2) * 255,
        "faint": (x + y) % 2 + 100,
    }
    return PIL.Image.fromarray(np.uint8(values[value])).convert("RGB")


@pytest.mark.parametrize("kind", ["across", "down", "stripes", "faint"])
def test_a_picture_too_plain_has_no_hash(kind: str) -> None:
    assert perceptual_hash(waves(kind)) is None


@pytest.mark.parametrize("colour", ["white", "black", "red", (1, 2, 3)])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (33, 17), (400, 300)])
def test_a_flat_picture_has_no_hash(colour: str | tuple[int, int, int], size: tuple[int, int]) -> None:
    flat = PIL.Image.new("RGB", size, colour)
    assert perceptual_hash(flat) is None
    assert perceptual_hash(again(flat, "JPEG", quality=50)) is None


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (2, 2), (31, 33), (5000, 25)])
def test_any_size_has_an_answer(size: tuple[int, int]) -> None:
    found = perceptual_hash(photograph(1, *size))
    assert found is None or 0 < found < 2**64


def test_a_symmetric_picture_does_not_hang_on_noise() -> None:
    """Half its frequencies are zero but for rounding, so that plain bits of them would be random."""
    y, x = np.mgrid[0:400, 0:512]
    disc = PIL.Image.fromarray(np.uint8(((y - 200) ** 2 + (x - 256) ** 2 < 80**2) * 255)).convert("RGB")
    assert distance(disc, again(disc, "JPEG", quality=70)) <= 3
    assert distance(disc, resized(disc, 0.5)) <= 3


def test_real_pictures_stay_near_themselves_and_far_from_others() -> None:
    folder = REAL_DATA / "real" / "mllm_bench"
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        pytest.skip(f"no pictures in {folder}: set BASEREWARD_REAL_DATA to the folder of the real sets")
    pictures = [decode_rgb(path.read_bytes()) for path in files if path.stat().st_size < 120_000][:30]
    for picture in pictures:
        assert distance(picture, again(picture, "JPEG", quality=70)) <= 3
        assert distance(picture, resized(picture, 0.5)) <= 3
    assert min(distance(one, two) for one, two in itertools.combinations(pictures, 2)) > 10
