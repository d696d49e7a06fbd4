"""Pictures of every mode and format as the model sees them, and what a shard stores of them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps
import pytest
from damaged_images import KEPT, WRITABLE, damaged_images, encoded, icon, noise, photograph, small_tiff
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from data_pipeline.config import MediaConfig
from data_pipeline.errors import RecordError
from data_pipeline.media import Image, decode_rgb, load_image, perceptual_hash, resized_rgb, smart_resize, stored_bytes
from data_pipeline.records.comparison import MediaRef

CONFIG = MediaConfig()
SMALL = MediaConfig(keep_original_bytes=200)


def loaded(data: bytes) -> Image:
    return load_image(MediaRef(data=data), ".", CONFIG)


def array(picture: PIL.Image.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(picture)


def test_an_image_is_its_bytes_and_what_they_show(tmp_path: Path) -> None:
    picture = photograph(1)
    (tmp_path / "a.png").write_bytes(encoded(picture))
    image = load_image(MediaRef(path="a.png"), str(tmp_path), CONFIG)
    assert (image.data, image.width, image.height) == (encoded(picture), 320, 240)
    assert image.perceptual_hash == perceptual_hash(picture) is not None
    assert loaded(encoded(PIL.Image.new("RGB", (50, 50)))).perceptual_hash is None


def test_extension_plays_no_part(tmp_path: Path) -> None:
    (tmp_path / "really_webp.jpg").write_bytes(encoded(noise(), "WEBP", lossless=True))
    image = load_image(MediaRef(path="really_webp.jpg"), str(tmp_path), CONFIG)
    np.testing.assert_array_equal(array(decode_rgb(image.data)), array(noise()))


def test_embedded_bytes_win_over_the_path(tmp_path: Path) -> None:
    assert load_image(MediaRef(path="gone.png", data=encoded(noise())), str(tmp_path), CONFIG).width == 40


@pytest.mark.parametrize(
    ("kind", "options", "most_off"),
    [
        ("AVIF", {"quality": 95}, 4.0),
        ("BMP", {}, 0),
        ("ICO", {"sizes": [(120, 90)]}, 0),
        ("JPEG", {"quality": 95}, 4.0),
        ("JPEG", {"quality": 95, "progressive": True}, 4.0),
        ("JPEG2000", {}, 0),
        ("JPEG2000", {"no_jp2": True}, 0),
        ("MPO", {"quality": 95}, 4.0),
        ("PNG", {}, 0),
        ("PPM", {}, 0),
        ("QOI", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_deflate"}, 0),
        ("TIFF", {"compression": "packbits"}, 0),
        ("WEBP", {"lossless": True}, 0),
    ],
)
def test_every_format_gives_the_picture_back(kind: str, options: dict[str, Any], most_off: float) -> None:
    if kind not in WRITABLE:
        pytest.skip(f"this build of Pillow does not write {kind}")
    picture = photograph(2, 120, 90)
    if most_off:
        picture = picture.convert("L").convert("RGB")  # these formats keep colours at half the resolution
    found = array(decode_rgb(encoded(picture, kind, **options))).astype(int)
    assert np.abs(found - array(picture)).mean() <= most_off


@pytest.mark.parametrize(("name", "data"), [(n, d) for n, d, outcome in damaged_images() if outcome == KEPT])
def test_every_awkward_file_is_rgb_of_its_own_size(name: str, data: bytes) -> None:
    image, picture = loaded(data), decode_rgb(data)
    assert (picture.mode, picture.size) == ("RGB", (image.width, image.height))
    assert 0 <= array(picture).min() < array(picture).max() <= 255 or name in ("flat.png", "one_pixel.png")


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB", "PA", "LA", "RGBA", "RGBX"])
def test_modes_of_tiff_become_rgb(mode: str) -> None:
    picture = photograph(3, 80, 60)
    if mode == "LAB":
        picture = picture.convert("LAB")
    elif mode == "PA":
        picture = picture.convert("P").convert("PA")
    else:
        picture = picture.convert(mode)
    expected = picture.convert("RGB" if mode != "PA" else "RGBA").convert("RGB")
    found = decode_rgb(encoded(picture, "TIFF"))
    assert np.abs(array(found).astype(int) - array(expected)).max() <= (0 if mode != "YCbCr" else 3)


def test_cmyk_jpeg_is_not_inverted() -> None:
    picture = PIL.Image.new("RGB", (16, 16), (250, 20, 10))
    found = decode_rgb(encoded(picture.convert("CMYK"), "JPEG", quality=95)).getpixel((8, 8))
    assert np.abs(np.subtract(found, (250, 20, 10))).max() <= 6


def test_transparency_lies_on_white() -> None:
    half = PIL.Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (10, 20, 30, 255))
    half.putpixel((2, 0), (0, 100, 200, 128))
    picture = decode_rgb(encoded(half))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (10, 20, 30)]
    assert np.abs(np.subtract(picture.getpixel((2, 0)), (127, 177, 227))).max() <= 1


def test_palette_with_a_transparent_entry_lies_on_white() -> None:
    picture = PIL.Image.new("P", (2, 1), 0)
    picture.putpalette([0, 0, 0, 9, 8, 7])
    picture.putpixel((1, 0), 1)
    decoded = decode_rgb(encoded(picture, transparency=0))
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (9, 8, 7)]


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_a_transparent_colour_lies_on_white(mode: str) -> None:
    if mode == "I;16":
        picture, colour = PIL.Image.fromarray(np.array([[40 * 256, 90 * 256]], dtype=np.uint16)), 40 * 256
    else:
        picture = PIL.Image.fromarray(np.array([[40, 90]], dtype=np.uint8)).convert(mode)
        colour = 40 if mode == "L" else (40, 40, 40)
    decoded = decode_rgb(encoded(picture, transparency=colour))
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (90, 90, 90)]


def grey_of(data: bytes) -> list[Any]:
    return array(decode_rgb(data))[0, :, 0].tolist()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str) -> None:
    picture = PIL.Image.fromarray(np.tile(np.array([0, 32768, 65535], dtype=np.uint16), (3, 1)))
    assert grey_of(encoded(picture, kind)) == [0, 128, 255]


def test_16_bit_grey_of_pgm_and_of_odd_tiffs() -> None:
    values = np.array([[0, 32768, 65535]], dtype=np.uint16)
    assert grey_of(encoded(PIL.Image.fromarray(values.astype(np.int32)), "PPM")) == [0, 128, 255]
    assert grey_of(small_tiff(values.astype("<u2").tobytes(), 3, 1, photometric=0)) == [255, 127, 0]
    packed = int("000" + "800" + "fff" + "000", 16).to_bytes(6, "big")  # four values of 12 bits
    assert grey_of(small_tiff(packed, 4, 1, bits=12)) == [0, 128, 255, 0]


def test_values_without_a_known_brightness_are_refused() -> None:
    for values in (np.zeros((4, 4), np.float32), np.zeros((4, 4), np.int32)):
        with pytest.raises(RecordError, match="brightness"):
            decode_rgb(encoded(PIL.Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_rotation_is_applied_as_pillow_does(kind: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise(), kind, exif=exif)
    with PIL.Image.open(io.BytesIO(data)) as opened:
        expected = PIL.ImageOps.exif_transpose(opened).convert("RGB")
    np.testing.assert_array_equal(array(decode_rgb(data)), array(expected))
    image = loaded(data)
    assert (image.width, image.height) == ((40, 30) if orientation < 5 else (30, 40))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_pictures_the_first_counts(kind: str) -> None:
    first, second = (PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    data = encoded(first, kind, save_all=True, append_images=[second])
    assert np.abs(np.subtract(decode_rgb(data).getpixel((3, 3)), (255, 0, 0))).max() <= 2


@pytest.mark.filterwarnings("ignore:Image was not the expected size")
def test_an_icon_within_bounds_loads() -> None:
    assert loaded(icon(encoded(noise(300, 200)))).width == 300


# What the model sees


def theirs(data: bytes, max_pixels: int) -> npt.NDArray[np.float32]:
    """The Hugging Face processor's patches of the original file, neither scaled nor normalised."""
    processor = Qwen2VLImageProcessorPil(
        do_rescale=False, do_normalize=False, size={"shortest_edge": 56 * 56, "longest_edge": max_pixels}
    )
    with PIL.Image.open(io.BytesIO(data)) as picture:
        patches = processor(images=[picture], return_tensors="np")["pixel_values"]
    return np.asarray(patches)


def ours(stored: bytes, height: int, width: int) -> npt.NDArray[np.float32]:
    """The same patches of our pixels: 2 x 2 neighbours together, each as channel, two equal frames, row, column."""
    grid = resized_rgb(stored, height, width).reshape(height // 28, 2, 14, width // 28, 2, 14, 3)
    patches = grid.transpose(0, 3, 1, 4, 6, 2, 5)[:, :, :, :, :, None].repeat(2, axis=5)
    return patches.reshape(-1, 3 * 2 * 14 * 14).astype(np.float32)


@pytest.mark.parametrize("max_pixels", [50_176, 200_704, 1_003_520])
@pytest.mark.parametrize("size", [(40, 30), (640, 480), (1500, 900), (28, 28), (7, 300), (1999, 10)])
def test_pixels_equal_the_hugging_face_processor(size: tuple[int, int], max_pixels: int) -> None:
    data = encoded(noise(*size), "JPEG")
    height, width = smart_resize(size[1], size[0], max_pixels=max_pixels)
    np.testing.assert_array_equal(ours(data, height, width), theirs(data, max_pixels))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK"])
@pytest.mark.parametrize("max_pixels", [50_176, 100_352])
def test_stored_pixels_equal_the_processor_on_the_original(mode: str, max_pixels: int) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    data = encoded(noise(700, 500, mode), kind)
    height, width = smart_resize(500, 700, max_pixels=max_pixels)
    stored, resized = stored_bytes(loaded(data), height, width, SMALL)
    assert resized == (stored != data) and (resized or mode == "1")  # one bit a pixel may be the smaller
    np.testing.assert_array_equal(ours(stored, height, width), theirs(data, max_pixels))


def test_one_side_two_hundred_times_the_other_is_refused() -> None:
    assert smart_resize(10, 2000) == (28, 812)
    with pytest.raises(RecordError, match="extreme_aspect_ratio"):
        smart_resize(10, 2001)


# What a shard stores


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    mode=st.sampled_from(["RGB", "RGBA", "L", "LA", "P", "1", "I;16"]),
    kind=st.sampled_from(["PNG", "TIFF"]),
    orientation=st.integers(1, 8),
    max_pixels=st.sampled_from([3136, 12_544, 100_352]),
)
def test_stored_and_original_give_equal_pixels(
    seed: int, size: tuple[int, int], mode: str, kind: str, orientation: int, max_pixels: int
) -> None:
    picture = noise(*size, seed=seed)
    if mode == "I;16":
        picture = PIL.Image.fromarray(array(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(noise(*size, "L", seed=seed + 1))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    image = loaded(encoded(picture, kind, exif=exif))
    try:
        height, width = smart_resize(image.height, image.width, max_pixels=max_pixels)
    except RecordError:
        return
    stored, resized = stored_bytes(image, height, width, SMALL)
    assert resized == (stored != image.data)
    assert not resized or len(stored) < len(image.data)
    np.testing.assert_array_equal(resized_rgb(stored, height, width), resized_rgb(image.data, height, width))


def test_a_small_file_is_stored_as_found() -> None:
    image = loaded(encoded(noise(600, 600)))
    assert stored_bytes(image, 56, 56, MediaConfig(keep_original_bytes=len(image.data))) == (image.data, False)
    stored, resized = stored_bytes(image, 56, 56, MediaConfig(keep_original_bytes=len(image.data) - 1))
    assert resized and len(stored) < len(image.data) // 50


def test_a_file_smaller_than_its_pixels_is_stored_as_found() -> None:
    image = loaded(encoded(photograph(5), "JPEG", quality=30))
    assert stored_bytes(image, 980, 1008, SMALL) == (image.data, False)


def test_a_picture_longer_than_its_format_holds_is_stored_as_found() -> None:
    image = loaded(encoded(noise(17_000, 100)))
    assert stored_bytes(image, 112, 16_996, SMALL) == (image.data, False)


def test_the_same_picture_is_stored_as_the_same_bytes() -> None:
    image = loaded(encoded(noise(300, 300)))
    assert stored_bytes(image, 56, 56, SMALL) == stored_bytes(image, 56, 56, SMALL)
