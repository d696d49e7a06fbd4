"""A video file is read as the folder of its frames would be, within bounds; a hostile one is refused."""

import io
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from transformers.video_utils import read_video_pyav
from video_toys import extract_frames, frames_of_film, write_film

from data_pipeline.config import MediaConfig
from data_pipeline.errors import RecordError, Unavailable
from data_pipeline.media import decode_rgb, frames_of, load_image, load_medium, stored_bytes
from data_pipeline.media.frames import SampledFrames, Video
from data_pipeline.records.comparison import MediaRef

COUNT = 23


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with film.mp4 and its frames."""
    root = tmp_path_factory.mktemp("clips")
    extract_frames(write_film(root / "film.mp4", COUNT), root / "film")
    return root


@pytest.fixture(scope="module")
def film(clips: Path) -> bytes:
    return (clips / "film.mp4").read_bytes()


def sampled(root: Path | str, path: str, **settings: Any) -> SampledFrames:
    return frames_of(MediaRef(path=path, is_video=True), str(root), MediaConfig(**settings))


def pixels_of(root: Path, found: SampledFrames) -> list[Any]:
    return [np.asarray(decode_rgb(load_image(ref, str(root), MediaConfig()).data)) for ref in found.refs]


def refused(data: bytes, **settings: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        frames_of(MediaRef(data=data, is_video=True), "", MediaConfig(**settings))
    return caught.value


@pytest.mark.parametrize("most", [1, 2, 5, 16, COUNT, 64])
def test_a_file_is_the_folder_of_its_frames(clips: Path, most: int) -> None:
    of_file = sampled(clips, "film.mp4", max_frames=most)
    of_folder = sampled(clips, "film", max_frames=most, frames_per_second=4.0)
    assert of_file.seconds_per_step == of_folder.seconds_per_step and len(of_file.refs) == min(most, COUNT)
    for one, other in zip(pixels_of(clips, of_file), pixels_of(clips, of_folder), strict=True):
        np.testing.assert_array_equal(one, other)


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    """At the rate of television, and where the recipe says another one."""
    write_film(tmp_path / "film.mp4", 61, rate=30000 / 1001)
    found = sampled(tmp_path, "film.mp4", max_frames=16, frames_per_second=1.0)
    assert found.seconds_per_step == pytest.approx(2 * 4 * 1001 / 30000)
    write_film(tmp_path / "one.mp4", 1, rate=5)
    assert sampled(tmp_path, "one.mp4").seconds_per_step == pytest.approx(2 / 5)


def test_pixels_are_those_of_transformers(clips: Path) -> None:
    found, said = read_video_pyav(str(clips / "film.mp4"), lambda metadata: [0, 11, 22])
    assert (said.total_num_frames, said.fps) == (COUNT, 4.0)
    np.testing.assert_array_equal(pixels_of(clips, sampled(clips, "film.mp4", max_frames=3)), found)


def test_a_turned_film_is_read_upright(clips: Path, film: bytes) -> None:
    """As telephones write it: by a matrix in the header of the track."""
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    start = film.index(plain, film.index(b"tkhd"))
    turned = film[:start] + quarter + film[start + len(plain) :]
    found = frames_of(MediaRef(data=turned, is_video=True), "", MediaConfig(max_frames=3))
    shown = [np.rot90(frame, -1) for frame in frames_of_film(clips / "film.mp4")]
    for one, place in zip(pixels_of(clips, found), (0, 11, 22), strict=True):
        np.testing.assert_array_equal(one, shown[place])


def test_a_film_in_an_archive_and_by_its_bytes(clips: Path, film: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.write(clips / "film.mp4", "a/film.mp4")
    expected = sampled(clips, "film.mp4")
    assert sampled(tmp_path / "films.zip", "a/film.mp4") == expected
    assert frames_of(MediaRef(data=film, is_video=True), "", MediaConfig()) == expected


def test_a_shard_keeps_frames_of_a_file_as_the_model_sees_them(clips: Path) -> None:
    found = load_medium(MediaRef(path="film.mp4", is_video=True), str(clips), MediaConfig())
    assert isinstance(found, Video) and all(frame.decoded for frame in found.frames)
    data, resized = stored_bytes(found.frames[0], 28, 56, MediaConfig())
    assert resized and Image.open(io.BytesIO(data)).size == (56, 28)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_file_that_breaks_off(film: bytes, left: float, tmp_path: Path) -> None:
    assert refused(film[: int(len(film) * left)]).reason == "broken_video"


def test_a_file_that_breaks_off_between_two_frames(film: bytes) -> None:
    with av.open(io.BytesIO(film)) as opened:
        places = [entry.pos for entry in opened.streams.video[0].index_entries]  # they point into the open file
    for place in places[1::7]:
        assert refused(film[:place]).reason == "broken_video"


def test_a_damaged_frame_is_not_made_up(film: bytes) -> None:
    with av.open(io.BytesIO(film)) as opened:
        entry = opened.streams.video[0].index_entries[5]
        begin, end = entry.pos + 8, entry.pos + entry.size
    assert refused(film[:begin] + bytes(end - begin) + film[end:]).reason == "broken_video"


def test_no_damage_crashes(film: bytes) -> None:
    """Random bytes anywhere: a refusal with its reason, or the frames that are still there."""
    random = np.random.default_rng(0)
    outcomes = set()
    for _ in range(80):
        damaged = bytearray(film)
        for place in random.integers(0, len(film), 6):
            damaged[place] = int(random.integers(0, 256))
        try:
            frames_of(MediaRef(data=bytes(damaged), is_video=True), "", MediaConfig())
            outcomes.add("read")
        except RecordError as error:
            outcomes.add(error.reason)
    assert outcomes <= {"read", "broken_video", "media_too_large", "video_file", "unsafe_path"}
    assert "broken_video" in outcomes


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"max_video_bytes": 1000}, "limit max_video_bytes=1000"),
        ({"max_video_frames": COUNT - 1}, "more frames than max_video_frames=22"),
        ({"max_video_seconds": 5.0}, "longer than max_video_seconds=5"),
        ({"max_frame_pixels": 5399}, "90 x 60 = 5400 pixels, limit max_frame_pixels=5399"),
        ({"max_source_pixels": 5399}, "limit max_source_pixels=5399"),
    ],
)
def test_bounds(film: bytes, clips: Path, setting: dict[str, Any], words: str) -> None:
    with pytest.raises(RecordError, match=words) as caught:
        load_medium(MediaRef(path="film.mp4", is_video=True), str(clips), MediaConfig(**setting))
    assert caught.value.reason == "media_too_large"


def test_a_stream_that_is_larger_than_its_header_says(clips: Path, film: bytes, tmp_path: Path) -> None:
    """The header of a small film before the frames of a large one: the decoder itself is told the limit."""
    large = write_film(tmp_path / "large.mp4", 2, height=600, width=900).read_bytes()
    start = large.index(b"avc1", large.index(b"stsd")) + 28
    assert struct.unpack(">2H", large[start : start + 4]) == (900, 600)
    lying = large[:start] + struct.pack(">2H", 90, 60) + large[start + 4 :]
    assert refused(lying, max_frame_pixels=100_000).reason in ("media_too_large", "broken_video")


def test_a_table_that_promises_billions_of_frames(film: bytes) -> None:
    start = film.index(b"stsz") + 8
    promising = film[:start] + struct.pack(">2I", 1, 1 << 30) + film[start + 8 :]
    assert "promises 1,073,741,824 samples" in str(refused(promising))


def test_other_formats_and_codecs(tmp_path: Path, clips: Path) -> None:
    other = write_film(tmp_path / "film.mkv", 3).read_bytes()
    assert "H.264" in refused(other).detail and refused(other).reason == "video_file"
    odd = write_film(tmp_path / "film.mov", 3, codec="mjpeg").read_bytes()
    assert refused(odd).reason == "video_file" and "mjpeg" in refused(odd).detail
    for text in (b"#EXTM3U\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n", b"", b"\0" * 64):
        assert refused(text).reason in ("video_file", "broken_video")


def test_without_the_library(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Unavailable, match=r"no PyAV to read it: pip install 'basereward\[video\]'"):
        sampled(clips, "film.mp4")
    with pytest.raises(RecordError, match=r"unavailable_media: 'film.mp4' is a video file"):
        sampled(clips, "film.mp4", unavailable="refuse")
    assert len(sampled(clips, "film").refs) == 16, "a folder needs none"
