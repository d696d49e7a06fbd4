"""Which frames of a folder stand for a video."""

import itertools
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from damaged_images import encoded, noise
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline import storage
from data_pipeline.config import MediaConfig
from data_pipeline.errors import RecordError
from data_pipeline.media import frames_of, load_image
from data_pipeline.media.sampling import places
from data_pipeline.records.comparison import MediaRef

PICTURE = encoded(noise())


def video(path: str) -> MediaRef:
    return MediaRef(path=path, is_video=True)


def names(root: Path | str, path: str = "clip", most: int = 16) -> list[str]:
    return [str(ref.path) for ref in frames_of(video(path), str(root), MediaConfig(max_frames=most)).refs]


def refusal(ref: MediaRef, root: Path) -> str:
    with pytest.raises(RecordError) as caught:
        frames_of(ref, str(root), MediaConfig())
    return caught.value.reason


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """tmp_path/clip with frame1.png ... frame12.png."""
    (tmp_path / "clip").mkdir()
    for number in range(1, 13):
        (tmp_path / "clip" / f"frame{number}.png").write_bytes(PICTURE)
    return tmp_path


def test_frames_come_in_natural_order_and_load(clip: Path) -> None:
    assert names(clip) == [f"clip/frame{number}.png" for number in range(1, 13)]
    for ref in frames_of(video("clip"), str(clip), MediaConfig()).refs:
        assert load_image(ref, str(clip), MediaConfig()).width == 40


def test_few_of_many_are_even_with_first_and_last(clip: Path) -> None:
    assert names(clip, most=4) == [f"clip/frame{number}.png" for number in (1, 5, 8, 12)]
    assert names(clip, most=1) == ["clip/frame1.png"]


def seconds(root: Path, **settings: Any) -> float:
    return frames_of(video("clip"), str(root), MediaConfig(**settings)).seconds_per_step


def test_two_frames_are_a_step_of_time(clip: Path) -> None:
    assert seconds(clip) == 2.0
    assert seconds(clip, frames_per_second=4.0) == 0.5
    assert seconds(clip, max_frames=4) == pytest.approx(2 * 11 / 3)
    assert seconds(clip, max_frames=12, frames_per_second=24) == pytest.approx(1 / 12)
    assert seconds(clip, max_frames=1, frames_per_second=0.5) == 4.0
    for number in range(13, 32):
        (clip / "clip" / f"frame{number}.png").write_bytes(PICTURE)
    assert seconds(clip, max_frames=16, frames_per_second=2) == 2.0, "the docstring's example"


def test_the_docstring_example() -> None:
    assert places(10, 5) == [0, 2, 5, 7, 9] and places(3, 5) == [0, 1, 2] and places(3, 1) == [0]


@given(count=st.integers(1, 500), most=st.integers(2, 64))
def test_sampling_is_even(count: int, most: int) -> None:
    taken = places(count, most)
    assert len(taken) == min(count, most) and taken == sorted(set(taken))
    assert (taken[0], taken[-1]) == (0, count - 1)
    gaps = [b - a for a, b in itertools.pairwise(taken)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_no_frames_at_all_is_a_wrong_setting() -> None:
    with pytest.raises(ValueError, match="max_frames"):
        places(1, 0)


def test_other_files_are_no_frames(clip: Path) -> None:
    for name in ("Thumbs.db", ".hidden.png", "index.json", "frame13.PNG.part"):
        (clip / "clip" / name).write_bytes(PICTURE)
    (clip / "clip" / "FRAME0.JPG").write_bytes(PICTURE)
    (clip / "clip" / "sub.png").mkdir()
    assert names(clip) == ["clip/FRAME0.JPG", *(f"clip/frame{number}.png" for number in range(1, 13))]


def test_equal_numbers_keep_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for name in ("1.png", "01.png", "b.png", "a10.png", "a9.png", "001.png", "a².png"):
        (tmp_path / "clip" / name).write_bytes(PICTURE)
    assert names(tmp_path) == [f"clip/{n}.png" for n in ("001", "01", "1", "a9", "a10", "a²", "b")]


def test_a_folder_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "videos.zip", "w") as archive:
        for number in (10, 9, 1):
            archive.writestr(f"a/clip/{number}.jpg", PICTURE)
        archive.writestr("a/other/1.jpg", PICTURE)
    root = tmp_path / "videos.zip"
    assert names(root, "a/clip") == ["a/clip/1.jpg", "a/clip/9.jpg", "a/clip/10.jpg"]
    assert names(root / "a", "clip/") == ["clip/1.jpg", "clip/9.jpg", "clip/10.jpg"]
    assert load_image(MediaRef(path="a/clip/9.jpg"), str(root), MediaConfig()).width == 40


@pytest.mark.parametrize("path", ["clip/", "./clip", ".//clip//"])
def test_other_ways_to_write_a_folder(clip: Path, path: str) -> None:
    assert names(clip, path, most=2) == ["clip/frame1.png", "clip/frame12.png"]


@pytest.mark.parametrize("name", ["[a]*", "cl?p"])
def test_a_name_is_never_a_glob(tmp_path: Path, name: str) -> None:
    for folder in (name, "a", "clap"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{len(folder)}.png").write_bytes(PICTURE)
    assert names(tmp_path, name) == [f"{name}/{len(name)}.png"]
    assert refusal(video("*"), tmp_path) == "missing_media"


def test_a_remote_folder_and_a_remote_glob(tmp_path: Path) -> None:
    root = f"memory://{tmp_path.name}"
    for name in ("clip/2.png", "clip/10.png", "clap/1.png"):
        storage.write_atomic(f"{root}/{name}", PICTURE)
    assert names(root) == ["clip/2.png", "clip/10.png"]
    assert load_image(MediaRef(path="clip/2.png"), root, MediaConfig()).width == 40
    for path in ("cl?p", "*", "clip/*"):
        with pytest.raises(RecordError, match="missing_media"):
            names(root, path)


def test_what_is_no_folder_of_frames_is_refused(clip: Path) -> None:
    (clip / "film.mp4").write_bytes(b"no film")
    (clip / "empty").mkdir()
    (clip / "root").mkdir()
    os.symlink(clip / "clip", clip / "root" / "out")
    assert refusal(video("film.mp4"), clip) == "video_file"
    assert refusal(MediaRef(data=b"x", is_video=True), clip) == "video_file"
    assert refusal(video("empty"), clip) == "missing_media"
    assert refusal(video("gone"), clip) == "missing_media"
    assert refusal(MediaRef(is_video=True), clip) == "missing_media"
    assert refusal(video("../clip"), clip / "root") == "unsafe_path"
    assert refusal(video("out"), clip / "root") == "unsafe_path"
    assert refusal(video(str(clip / "clip")), clip) == "unsafe_path"
    assert refusal(video("http://example.org/clip"), clip) == "remote_media"


def test_a_frame_that_links_out_is_refused_when_it_is_read(clip: Path) -> None:
    (clip / "root" / "clip").mkdir(parents=True)
    os.symlink(clip / "clip" / "frame1.png", clip / "root" / "clip" / "1.png")
    (ref,) = frames_of(video("clip"), str(clip / "root"), MediaConfig()).refs
    with pytest.raises(RecordError, match="unsafe_path"):
        load_image(ref, str(clip / "root"), MediaConfig())
