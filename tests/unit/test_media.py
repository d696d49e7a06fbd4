"""Images of every awkward kind, and references that must not be followed."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from data_pipeline.comparison import MediaRef
from data_pipeline.config import EncodeConfig
from data_pipeline.errors import RecordError
from data_pipeline.media import decode_rgb, load_image, resized_rgb, smart_resize

CONFIG = EncodeConfig()


def encoded(image: PIL.Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 40, height: int = 30, mode: str = "RGB") -> PIL.Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels).convert(mode)


def refusal(ref: MediaRef, root: str, config: EncodeConfig = CONFIG) -> str:
    with pytest.raises(RecordError) as caught:
        load_image(ref, root, config)
    return caught.value.reason


def test_extension_plays_no_part(tmp_path: Path) -> None:
    (tmp_path / "really_webp.jpg").write_bytes(encoded(noise(), "WEBP", lossless=True))
    image = load_image(MediaRef(path="really_webp.jpg"), str(tmp_path), CONFIG)
    assert (image.width, image.height) == (40, 30)
    np.testing.assert_array_equal(np.asarray(decode_rgb(image.data)), np.asarray(noise()))


def test_embedded_bytes_win_over_the_path(tmp_path: Path) -> None:
    assert load_image(MediaRef(path="gone.png", data=encoded(noise())), str(tmp_path), CONFIG).width == 40


def test_transparency_lies_on_white() -> None:
    half = PIL.Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (10, 20, 30, 255))
    picture = decode_rgb(encoded(half))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (10, 20, 30)]


def test_palette_with_a_transparent_entry_lies_on_white() -> None:
    picture = PIL.Image.new("P", (2, 1), 0)
    picture.putpalette([0, 0, 0, 9, 8, 7])
    picture.putpixel((1, 0), 1)
    decoded = decode_rgb(encoded(picture, transparency=0))
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (9, 8, 7)]


@pytest.mark.parametrize(("mode", "kind"), [("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("LA", "PNG")])
def test_every_mode_becomes_rgb(mode: str, kind: str) -> None:
    picture = decode_rgb(encoded(noise(mode=mode), kind))
    assert (picture.mode, picture.size) == ("RGB", (40, 30))


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    grey = PIL.Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    picture = decode_rgb(encoded(grey))
    assert [picture.getpixel((x, 0)) for x in range(3)] == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_as_pillow_does(orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise(), "JPEG", exif=exif)
    with PIL.Image.open(io.BytesIO(data)) as opened:
        expected = PIL.ImageOps.exif_transpose(opened).convert("RGB")
    np.testing.assert_array_equal(np.asarray(decode_rgb(data)), np.asarray(expected))
    image = load_image(MediaRef(data=data), ".", CONFIG)
    assert (image.width, image.height) == ((40, 30) if orientation < 5 else (30, 40))


def test_an_animation_is_its_first_frame() -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_rgb(data).getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_file_that_breaks_off_is_refused(kind: str) -> None:
    whole = encoded(noise(200, 200), kind)
    assert refusal(MediaRef(data=whole[: len(whole) // 2]), ".") == "broken_image"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes_are_refused_or_decoded_and_never_crash() -> None:
    random = np.random.default_rng(1)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        whole = encoded(noise(), kind)
        for _ in range(60):
            damaged = bytearray(whole)
            for place in random.integers(0, min(len(whole), 120), 4):
                damaged[place] = int(random.integers(0, 256))
            try:
                load_image(MediaRef(data=bytes(damaged)), ".", CONFIG)
            except RecordError as error:
                assert error.reason in ("broken_image", "media_too_large")


@pytest.mark.parametrize("data", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert refusal(MediaRef(data=data), ".") == "broken_image"


def test_bombs_are_refused_before_decoding() -> None:
    data = encoded(PIL.Image.new("L", (3000, 3000)))
    assert refusal(MediaRef(data=data), ".", EncodeConfig(max_source_pixels=8_999_999)) == "media_too_large"
    assert refusal(MediaRef(data=data), ".", EncodeConfig(max_source_bytes=len(data) - 1)) == "media_too_large"
    assert load_image(MediaRef(data=data), ".", EncodeConfig(max_source_pixels=9_000_000)).width == 3000


def test_more_pixels_than_pillow_opens_are_refused() -> None:
    assert refusal(MediaRef(data=encoded(PIL.Image.new("1", (13_500, 13_500)))), ".") == "media_too_large"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret.png", "unsafe_path"),
        ("in/../../secret.png", "unsafe_path"),
        ("..\\secret.png", "unsafe_path"),
        ("/etc/passwd", "unsafe_path"),
        ("C:\\pictures\\a.png", "unsafe_path"),
        ("a\0.png", "unsafe_path"),
        ("file:///etc/passwd", "unsafe_path"),
        ("http://example.org/a.png", "remote_media"),
        ("https://example.org/a.png", "remote_media"),
        ("s3://bucket/a.png", "remote_media"),
        ("gone.png", "missing_media"),
        ("in", "missing_media"),
        ("x" * 5000, "missing_media"),
    ],
)
def test_a_record_reaches_only_files_below_its_root(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(noise()))
    (tmp_path / "root" / "in").mkdir(parents=True)
    assert refusal(MediaRef(path=path), str(tmp_path / "root")) == reason


def test_links_may_stay_inside_and_not_lead_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(encoded(noise()))
    (root / "own.png").write_bytes(encoded(noise()))
    os.symlink(tmp_path / "secret.png", root / "out.png")
    os.symlink(tmp_path, root / "folder")
    os.symlink(root / "own.png", root / "alias.png")
    assert refusal(MediaRef(path="out.png"), str(root)) == "unsafe_path"
    assert refusal(MediaRef(path="folder/secret.png"), str(root)) == "unsafe_path"
    assert load_image(MediaRef(path="alias.png"), str(root), CONFIG).width == 40


def test_a_reference_to_nothing_is_missing() -> None:
    assert refusal(MediaRef(), ".") == "missing_media"


@pytest.mark.parametrize("size", [(40, 30), (640, 480), (1500, 900), (28, 28), (7, 300)])
def test_pixels_equal_the_hugging_face_processor(size: tuple[int, int]) -> None:
    picture = noise(*size)
    height, width = smart_resize(size[1], size[0])
    processor = Qwen2VLImageProcessorPil(do_rescale=False, do_normalize=False)
    expected = processor.resize(
        np.moveaxis(np.asarray(picture), -1, 0), _size_of(processor), PIL.Image.Resampling.BICUBIC, 28
    )
    found = resized_rgb(encoded(picture), height, width)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.moveaxis(expected, 0, -1))


def _size_of(processor: Qwen2VLImageProcessorPil) -> Any:
    from transformers.image_utils import SizeDict

    return SizeDict(**dict(processor.size))


def test_one_side_two_hundred_times_the_other_is_refused() -> None:
    assert smart_resize(10, 2000) == (28, 812)
    with pytest.raises(RecordError, match="extreme_aspect_ratio"):
        smart_resize(10, 2001)
