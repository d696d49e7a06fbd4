"""What a refusal says is ours and the same in every run: what a file is that is no picture, and no memory address."""

import re

import pytest
from damaged_images import damaged_images, encoded, photograph

from data_pipeline.config import MediaConfig
from data_pipeline.errors import RecordError
from data_pipeline.media import load_image
from data_pipeline.records.comparison import MediaRef

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(40)


def detail_of(data: bytes) -> str:
    with pytest.raises(RecordError) as caught:
        load_image(MediaRef(data=data, path="a.jpg"), ".", MediaConfig())
    return caught.value.detail


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\n<!DOCTYPE html><html><title>404</title>", "an HTML page"),
        (b"<HTML><body>moved</body>", "an HTML page"),
        (HEIC, "a HEIC picture"),
        (b"\x00\x00\x00\x20ftypavif\x00\x00\x00\x00", "an AVIF picture that is cut"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "a video in MP4"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<?xml version='1.0'?>\n<svg/>", "an SVG drawing"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04" + bytes(60), "a ZIP archive"),
        (b'{"error": "rate limited"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"Not found", "text that begins with 'Not found'"),
        (b"\x01\x02\xfe\xff" * 9, "unknown bytes that begin with 0102feff0102feff"),
        (encoded(photograph(1), "JPEG")[:4], "the beginning of a JPEG"),
    ],
)
def test_a_file_that_is_no_picture_is_called_what_it_is(data: bytes, kind: str) -> None:
    assert kind in detail_of(data)


def test_no_refusal_of_a_damaged_picture_holds_an_address() -> None:
    seen = 0
    for _, data, _ in damaged_images():
        try:
            load_image(MediaRef(data=data), ".", MediaConfig())
        except RecordError as error:
            seen += 1
            assert not re.search(r"0x[0-9a-f]{6}|object at", str(error)), error
    assert seen > 20


def test_an_address_in_the_text_of_a_library_is_left_out() -> None:
    error = RecordError("broken_image", f"cannot identify {object()!r}")
    assert error.detail == "cannot identify <object object>" and str(error) == f"broken_image: {error.detail}"
