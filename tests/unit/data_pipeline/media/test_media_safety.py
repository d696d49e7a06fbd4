"""References that must not be followed, and files that must not be decoded."""

import os
import resource
import socket
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from damaged_images import WRITABLE, bomb_png, damaged_images, encoded, icon, noise, png_header, small_tiff
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.config import MediaConfig
from data_pipeline.errors import RecordError
from data_pipeline.media import load_image
from data_pipeline.media.reading import check_declared_size
from data_pipeline.records.comparison import MediaRef

pytestmark = [
    pytest.mark.timeout(60),  # opening a FIFO would block for ever
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning"),
]
CONFIG = MediaConfig()
FILES = list(damaged_images())
KINDS = sorted(WRITABLE & {"AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP"})


def refusal(ref: MediaRef, root: Path | str = ".", config: MediaConfig = CONFIG) -> str:
    with pytest.raises(RecordError) as caught:
        load_image(ref, str(root), config)
    return caught.value.reason


# Files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_a_file_that_breaks_off_is_refused(kind: str, part: float) -> None:
    options = {"sizes": [(200, 200)]} if kind == "ICO" else {}
    whole = encoded(noise(200, 200), kind, **options)
    assert refusal(MediaRef(data=whole[: int(len(whole) * part)])) == "broken_image"


@pytest.mark.parametrize(
    ("name", "data", "reason"), [case for case in FILES if case[2] in ("broken_image", "media_too_large")]
)
def test_every_damaged_file_is_refused_for_its_reason(name: str, data: bytes, reason: str) -> None:
    assert refusal(MediaRef(data=data)) == reason


def test_damaged_bytes_are_refused_or_decoded_and_never_crash() -> None:
    random = np.random.default_rng(1)
    for kind in KINDS:
        whole = encoded(noise(), kind)
        for _ in range(60):
            damaged = bytearray(whole)
            for place in random.integers(0, min(len(whole), 200), 4):
                damaged[place] = int(random.choice([0, 1, 127, 255, random.integers(256)]))
            try:
                load_image(MediaRef(data=bytes(damaged)), ".", CONFIG)
            except RecordError as error:
                assert error.reason in ("broken_image", "media_too_large")


def test_bounds_hold_to_the_pixel_and_to_the_byte() -> None:
    data = encoded(PIL.Image.new("L", (300, 300)))
    assert load_image(MediaRef(data=data), ".", MediaConfig(max_source_pixels=90_000)).width == 300
    assert refusal(MediaRef(data=data), config=MediaConfig(max_source_pixels=89_999)) == "media_too_large"
    assert load_image(MediaRef(data=data), ".", MediaConfig(max_source_bytes=len(data))).width == 300
    assert refusal(MediaRef(data=data), config=MediaConfig(max_source_bytes=len(data) - 1)) == "media_too_large"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """200 million grey pixels would need 200 MB; the header is enough."""
    bomb = bomb_png(14_100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(MediaRef(data=bomb)) == "media_too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize("size", [(9000, 9000), (2**31 - 1, 1), (300, 301)])
def test_what_an_icon_holds_counts_and_not_its_directory(size: tuple[int, int]) -> None:
    with pytest.raises(RecordError, match=r"media_too_large.*limit max_source_pixels=90000"):
        check_declared_size(icon(png_header(*size)), 90_000)


def test_a_tile_larger_than_its_picture_counts() -> None:
    fits = small_tiff(bytes(2 * 16 * 16), 16, 16, t322=16, t323=16)
    check_declared_size(fits, 256)
    with pytest.raises(RecordError, match="media_too_large: 16 x 4096"):
        check_declared_size(small_tiff(bytes(2 * 16 * 16), 16, 16, t322=16, t323=4096), 256)


def test_a_code_stream_larger_than_its_container_says_counts() -> None:
    data = next(data for name, data, _ in FILES if name == "stream.jp2")
    with pytest.raises(RecordError, match="media_too_large: 60000 x 60000"):
        check_declared_size(data, 100_000_000)
    check_declared_size(encoded(noise(64, 48), "JPEG2000", tile_size=(32, 32)), 2 * 64 * 48)


@pytest.mark.parametrize("kind", sorted(WRITABLE & {"AVIF", "JPEG2000", "WEBP"}))
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_pixel_counts_twice_where_it_takes_twice_the_memory(kind: str, mode: str) -> None:
    data = encoded(noise(60, 50, mode), kind)
    check_declared_size(data, 6000)
    with pytest.raises(RecordError, match=f"60 x 50 = 3000 pixels, which count twice in {kind}, limit .*=5999"):
        check_declared_size(data, 5999)


def animation(kind: str, frames: int, size: tuple[int, int] = (4, 4)) -> bytes:
    pictures = [PIL.Image.new("RGB", size, (i % 256, i // 256, 9)) for i in range(frames)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:], lossless=True)


def on_canvas(width: int, height: int) -> bytes:
    """An animated WEBP of two tiny frames on a canvas of any size."""
    data = bytearray(animation("WEBP", 2))
    place = data.index(b"VP8X") + 12
    data[place : place + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def still_of(width: int, height: int) -> bytes:
    """A lossless WEBP whose header claims any size up to 16384 x 16384."""
    data = bytearray(encoded(noise(4, 4), "WEBP", lossless=True))
    place = data.index(b"VP8L") + 9
    bits = int.from_bytes(data[place : place + 4], "little") >> 28 << 28
    data[place : place + 4] = (bits | (height - 1) << 14 | (width - 1)).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("size", [(10_000, 9_999), (16_383, 3_100), (8_000, 6_251), (16_384, 16_384)])
@pytest.mark.parametrize("make", [on_canvas, still_of])
def test_a_tiny_webp_that_would_take_gigabytes_is_refused_before_it_is_decoded(
    make: Callable[[int, int], bytes], size: tuple[int, int]
) -> None:
    data = make(*size)
    assert len(data) < 300
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(MediaRef(data=data)) == "media_too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def repeated(kind: str, frames: int) -> bytes:
    """A moving picture with its last frame over and over."""
    data = animation(kind, 2)
    if kind == "WEBP":
        frame = data[data.rindex(b"ANMF") :]
        body = data[12:] + frame * frames
        return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body
    if kind == "GIF":
        return data[:-1] + data[data.rindex(b"!\xf9") : -1] * frames + b";"
    start = data.index(b"fdAT") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    return data[:start] + data[start:end] * frames + data[end:]


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "PNG"])
def test_of_a_moving_picture_one_frame_is_decoded_however_many_there_are(kind: str) -> None:
    data = repeated(kind, 20_000)
    tracemalloc.start()
    assert load_image(MediaRef(data=data), ".", CONFIG).width == 4
    assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
    tracemalloc.stop()


def test_thousands_of_passes_over_a_jpeg_are_refused() -> None:
    data = next(data for name, data, _ in FILES if name == "scans.jpg")
    with pytest.raises(RecordError, match="media_too_large: a JPEG of 2.. scans, limit 100"):
        check_declared_size(data, 100_000_000)


def test_a_gif_frame_beyond_its_screen_counts() -> None:
    data = bytearray(encoded(noise(20, 20).convert("L"), "GIF"))
    place = data.index(b"\x2c\0\0\0\0")  # the first frame's place and size
    data[place + 5 : place + 9] = b"\xff\xff\xff\x0f"
    assert refusal(MediaRef(data=bytes(data))) == "media_too_large"


# Paths; tests/unit/data_pipeline/transform/test_damaged_corpus.py has many more


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret.png", "unsafe_path"),
        ("in/../../secret.png", "unsafe_path"),
        ("..\\secret.png", "unsafe_path"),
        ("/etc/passwd", "unsafe_path"),
        ("C:\\pictures\\a.png", "unsafe_path"),
        ("a\0.png", "unsafe_path"),
        ("half \ud83d character.png", "unsafe_path"),
        ("file:///etc/passwd", "unsafe_path"),
        ("%2e%2e/secret.png", "missing_media"),
        ("s3://bucket/a.png", "remote_media"),
        ("gone.png", "missing_media"),
        ("in", "missing_media"),
        ("x" * 5000, "missing_media"),
    ],
)
def test_a_record_reaches_only_files_below_its_root(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(noise()))
    (tmp_path / "root" / "in").mkdir(parents=True)
    assert refusal(MediaRef(path=path), tmp_path / "root") == reason


def test_percent_signs_are_letters(tmp_path: Path) -> None:
    (tmp_path / "a%20b.png").write_bytes(encoded(noise()))
    assert load_image(MediaRef(path="a%20b.png"), str(tmp_path), CONFIG).width == 40
    assert refusal(MediaRef(path="a b.png"), tmp_path) == "missing_media"


def test_links_may_stay_inside_and_not_lead_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(encoded(noise()))
    (root / "own.png").write_bytes(encoded(noise()))
    os.symlink(tmp_path / "secret.png", root / "out.png")
    os.symlink(tmp_path, root / "folder")
    os.symlink(root / "own.png", root / "alias.png")
    os.symlink(root, tmp_path / "root_by_link")
    assert refusal(MediaRef(path="out.png"), root) == "unsafe_path"
    assert refusal(MediaRef(path="folder/secret.png"), root) == "unsafe_path"
    assert load_image(MediaRef(path="alias.png"), str(root), CONFIG).width == 40
    assert load_image(MediaRef(path="own.png"), str(tmp_path / "root_by_link"), CONFIG).width == 40


def test_a_pipe_a_socket_or_a_device_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's whole path has at most 107 characters
        listener.bind("socket.png")
        os.chdir(here)
    start = time.monotonic()
    assert refusal(MediaRef(path="pipe.png"), tmp_path) == "unsafe_path"
    assert refusal(MediaRef(path="socket.png"), tmp_path) == "unsafe_path"
    assert refusal(MediaRef(path="zero"), "/dev") == "unsafe_path"
    assert time.monotonic() - start < 30


def test_a_reference_to_nothing_is_missing() -> None:
    assert refusal(MediaRef()) == "missing_media"
    assert refusal(MediaRef(path="")) == "missing_media"
    assert refusal(MediaRef(data=b"")) == "broken_image"


@settings(max_examples=300)
@given(path=st.one_of(st.text(), st.text("./\\:%~*a\0\ud800 ", max_size=20)), packed=st.booleans())
def test_any_text_as_a_path_is_refused_in_words(roots: tuple[str, str], path: str, packed: bool) -> None:
    assert refusal(MediaRef(path=path), roots[packed]) in ("missing_media", "unsafe_path", "remote_media")
    assert refusal(MediaRef(path=path + "://x"), roots[packed]) in ("unsafe_path", "remote_media")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A folder and an archive, each with one picture that no short name hits."""
    folder = tmp_path_factory.mktemp("roots")
    (folder / "a picture.png").write_bytes(encoded(noise()))
    with zipfile.ZipFile(folder / "images.zip", "w") as file:
        file.writestr("a picture.png", encoded(noise()))
    return str(folder), str(folder / "images.zip")


# Archives


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """images.zip with a picture, a folder, a bomb of 3 MB, and names that lead out."""
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a.png", "sub/b.png", "../out.png", "/abs.png"):
            file.writestr(zipfile.ZipInfo(name), encoded(noise()))
        file.writestr("bomb.png", bytes(3_000_000))
    return tmp_path / "images.zip"


def test_members_of_an_archive_are_found_by_exact_name(archive: Path) -> None:
    assert load_image(MediaRef(path="a.png"), str(archive), CONFIG).width == 40
    assert load_image(MediaRef(path="sub/b.png"), str(archive), CONFIG).width == 40
    assert load_image(MediaRef(path="b.png"), str(archive / "sub"), CONFIG).width == 40
    for path in ("A.png", "sub", "sub/", "gone.png", "out.png", "abs.png"):
        assert refusal(MediaRef(path=path), archive) == "missing_media"
    for path in ("../out.png", "/abs.png", "sub/../a.png"):
        assert refusal(MediaRef(path=path), archive) == "unsafe_path"
    assert refusal(MediaRef(path="a::b.png"), archive) == "unsafe_path"


def test_a_member_larger_than_allowed_is_not_unpacked(archive: Path) -> None:
    assert refusal(MediaRef(path="bomb.png"), archive, MediaConfig(max_source_bytes=2_999_999)) == "media_too_large"


def test_an_index_that_lies_about_a_size_is_found_out(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    entry = data.rindex(b"bomb.png") - 46
    data[entry + 24 : entry + 28] = (1000).to_bytes(4, "little")
    archive.write_bytes(bytes(data))
    assert refusal(MediaRef(path="bomb.png"), archive, MediaConfig(max_source_bytes=2000)) == "broken_image"


def test_an_archive_below_the_root_may_not_be_a_link_out(archive: Path) -> None:
    root = archive.parent / "root"
    root.mkdir()
    os.symlink(archive, root / "images.zip")
    assert refusal(MediaRef(path="images.zip/a.png"), root) == "unsafe_path"
    assert load_image(MediaRef(path="images.zip/a.png"), str(archive.parent), CONFIG).width == 40


# The web


class Pictures(BaseHTTPRequestHandler):
    """/a.png is a picture, /big.png too large, /moved.png a redirect to another host."""

    def do_GET(self) -> None:
        if self.path == "/moved.png":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/secret.png")
            self.end_headers()
            return
        body = {"/a.png": encoded(noise()), "/big.png": bytes(9000)}.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def web() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Pictures)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_web_is_closed_unless_the_recipe_opens_a_host(web: str) -> None:
    allowed = MediaConfig(allowed_hosts=["127.0.0.1"], max_source_bytes=8000)
    assert load_image(MediaRef(path=f"{web}/a.png"), ".", allowed).width == 40
    assert refusal(MediaRef(path=f"{web}/a.png")) == "remote_media"
    assert refusal(MediaRef(path=f"{web}/a.png"), config=MediaConfig(allowed_hosts=["example.org"])) == "remote_media"
    assert refusal(MediaRef(path=f"{web}/moved.png"), config=allowed) == "remote_media"
    assert refusal(MediaRef(path=f"{web}/big.png"), config=allowed) == "media_too_large"
    assert refusal(MediaRef(path=f"{web}/gone.png"), config=allowed) == "missing_media"
    for url in ("s3://127.0.0.1/a.png", "ftp://127.0.0.1/a.png", "gopher://127.0.0.1/a.png"):
        assert refusal(MediaRef(path=url), config=allowed) == "remote_media"
    assert refusal(MediaRef(path="file://127.0.0.1/etc/passwd"), config=allowed) == "unsafe_path"
