"""Media beside the records: a repaired file is read by the same command, and what can't be had now refuses nothing."""

import functools
import http.server
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from loopback import serving

from data_pipeline import storage
from data_pipeline.config import MediaConfig, PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.dataset.layout import kept_manifests
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import RecordError, Unavailable
from data_pipeline.inspection.verify import checks_of, verify_files
from data_pipeline.pipeline import is_finished, plan_units, prepare


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("tokenizer"))
    train_tokenizer(["What is there? A lamp, a red one."], 300, folder)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Of a.png, b.png and c.png the last is missing."""
    folder = tmp_path / "data" / "images"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name}.png").write_bytes(png(ord(name)))
    return folder


@pytest.fixture
def config(images: Path, tokenizer: str) -> PreprocessConfig:
    """Two units: a.png and b.png, then c.png and no picture."""
    return of_images(images.parent, tokenizer, ["images/a.png", "images/b.png", "images/c.png", None])


def of_images(data: Path, tokenizer: str, paths: list[str | None]) -> PreprocessConfig:
    answers = {"chosen": "A lamp.", "rejected": "No."}
    records = [{"prompt": f"What is there, {row}?", "image": path} | answers for row, path in enumerate(paths)]
    (data / "pairs.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return PreprocessConfig(
        sources=[SourceConfig(name="mine", path="pairs.jsonl")],
        data_root=str(data),
        output=str(data.parent / "shards"),
        tokenizer=tokenizer,
        rows_per_unit=2,
        split=SplitConfig(heldout_fraction=0.0),
    )


def refused(config: PreprocessConfig) -> dict[str, int]:
    return prepare(config).counts.refused_by_reason


def finished(config: PreprocessConfig) -> bool:
    return is_finished(config, plan_units(config)) is not None


BEFORE = {
    "missing": lambda path: None,
    "cut": lambda path: path.write_bytes(png(3)[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "a page": lambda path: path.write_bytes(b"<html>404</html>"),
    "a folder": lambda path: path.mkdir(),
    "a link to nowhere": lambda path: path.symlink_to("gone.png"),
    "too large": lambda path: path.write_bytes(bytes(60_000_000)),
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_a_repaired_image_is_read_by_the_same_command(
    config: PreprocessConfig, images: Path, before: Callable[[Path], object]
) -> None:
    path = images / "c.png"
    before(path)
    assert sum(refused(config).values()) == 1
    assert finished(config)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.write_bytes(png(3))
    assert not finished(config)
    assert refused(config) == {}
    assert finished(config)
    assert len(kept_manifests(config.output)) == 2
    for manifest in kept_manifests(config.output):
        found = verify_files(checks_of(config.output, Manifest.read(manifest)))
        assert all(file.problem is None for file in found), "an earlier manifest's files stay"


def test_only_the_unit_of_the_changed_image_is_done_again(config: PreprocessConfig, images: Path) -> None:
    first = prepare(config)
    (images / "b.png").write_bytes(png(77))
    second = prepare(config)
    assert first.shards[0].name != second.shards[0].name and first.shards[1] == second.shards[1]
    (images / "b.png").write_bytes(png(ord("b")))
    assert prepare(config).shards == first.shards, "as it was at first"


def test_a_file_of_the_same_bytes_is_the_same(config: PreprocessConfig, images: Path) -> None:
    manifest = prepare(config)
    for path in images.iterdir():
        os.utime(path, (1, 1))
    assert finished(config) and plan_units(config)[0].address == manifest.shards[0].name.rpartition("-")[0]


def test_images_that_are_gone_since_stay_as_they_were_read(config: PreprocessConfig, images: Path) -> None:
    prepare(config)
    shutil.rmtree(images)
    assert finished(config)


def test_a_copy_of_the_data_gives_the_same_bytes(config: PreprocessConfig, images: Path, tmp_path: Path) -> None:
    shutil.copytree(images.parent, tmp_path / "copy", copy_function=shutil.copyfile)
    copied = replace(config, data_root=str(tmp_path / "copy"), output=str(tmp_path / "of_copy"))
    assert prepare(copied).fingerprint == prepare(config).fingerprint
    shutil.copytree(config.output, tmp_path / "moved")
    assert finished(replace(copied, output=str(tmp_path / "moved")))


def test_missing_files_fail_the_run_where_the_recipe_says_so(config: PreprocessConfig, images: Path) -> None:
    strict = replace(config, media=MediaConfig(missing="fail"))
    with pytest.raises(Unavailable, match=r"images/c\.png"):
        prepare(strict)
    (images / "c.png").write_bytes(png(3))
    assert refused(strict) == {}


class Web(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, or answers everything with `status`."""

    status = 200

    def do_GET(self) -> None:
        if self.status == 200:
            super().do_GET()
        else:
            self.send_error(self.status)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def web(images: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("data_pipeline.storage.web._FIRST_PAUSE_S", 0.001)
    with serving(functools.partial(Web, directory=str(images))) as url:
        yield url
    Web.status = 200


@pytest.fixture
def of_web(web: str, images: Path, tokenizer: str) -> PreprocessConfig:
    config = of_images(images.parent, tokenizer, [f"{web}/a.png", f"{web}/b.png", f"{web}/a.png?again", None])
    return replace(config, media=MediaConfig(allowed_hosts=["127.0.0.1"], fetch_timeout_s=5))


@pytest.mark.parametrize("status", [401, 403, 407, 429, 500, 502, 503, 504])
def test_a_host_that_fails_refuses_no_record(of_web: PreprocessConfig, web: str, status: int) -> None:
    Web.status = status
    with pytest.raises(Unavailable, match=rf"{web}/a\.png: HTTP {status}.*{web}/b\.png: HTTP {status}"):
        prepare(of_web)
    Web.status = 200
    assert refused(of_web) == {}


def test_a_host_that_is_down_refuses_no_record(of_web: PreprocessConfig, images: Path, tokenizer: str) -> None:
    down = of_images(images.parent, tokenizer, ["http://127.0.0.1:9/a.png", None])
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9/a\.png: ConnectError.*media\.unavailable=refuse"):
        prepare(replace(down, media=of_web.media))


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_the_record_s_fault(of_web: PreprocessConfig, status: int) -> None:
    Web.status = status
    assert refused(of_web) == {"missing_media": 3}


def test_what_was_refused_for_a_passing_cause_is_tried_again(of_web: PreprocessConfig) -> None:
    Web.status = 503
    lenient = replace(of_web, media=replace(of_web.media, unavailable="refuse"))
    again = replace(lenient, retry_refused=True)
    assert refused(lenient) == {"unavailable_media": 3}
    assert finished(lenient), "without retry_refused"
    assert refused(again) == {"unavailable_media": 3}
    Web.status = 200
    assert finished(lenient) and not finished(again)
    assert refused(again) == {}
    assert finished(lenient) and finished(again)


def test_files_in_an_archive_have_the_archive_s_digest(config: PreprocessConfig, images: Path) -> None:
    shutil.make_archive(str(images.parent / "pictures"), "zip", images.parent, "images")
    packed = replace(config, sources=[replace(config.sources[0], media_root="pictures.zip")])
    assert refused(packed) == {"missing_media": 1}
    assert storage.list_files(f"{config.output}/media/*") == []
    (images / "c.png").write_bytes(png(3))
    shutil.make_archive(str(images.parent / "pictures"), "zip", images.parent, "images")
    assert refused(packed) == {}


@pytest.mark.parametrize("inside", ["images", "."], ids=["with its folder", "without"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_folder_may_lie_packed_in_its_place(config: PreprocessConfig, images: Path, kind: str, inside: str) -> None:
    """As MM-RLHF is published: records say ``short/1.jpg``, and there is a ``short.zip``."""
    root = images if inside == "." else images.parent
    shutil.make_archive(str(images.parent / "images"), kind, root, inside)
    shutil.move(images, images.parent / "unpacked")
    assert refused(config) == {"missing_media": 1}
    assert refused(config) == {"missing_media": 1} and finished(config)
    (images.parent / "unpacked" / "b.png").write_bytes(png(7))
    shutil.move(images.parent / "unpacked", images)
    shutil.make_archive(str(images.parent / "images"), kind, root, inside)
    shutil.rmtree(images)
    assert not finished(config), "another picture in the archive is read again"
    assert refused(config) == {"missing_media": 1}


def test_what_an_archive_beside_may_not_do(tmp_path: Path) -> None:
    for name in ("data", "outside"):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "images" / "a.png").write_bytes(png(1))
    shutil.make_archive(str(tmp_path / "outside" / "images"), "zip", tmp_path / "outside", "images")
    root = str(tmp_path / "data")
    assert storage.url_below("images/a.png", root) == f"{root}/images/a.png", "a folder comes first"
    (tmp_path / "data" / "linked.zip").symlink_to(tmp_path / "outside" / "images.zip")
    for path in ("linked/a.png", "images/../../outside/a.png", "/images/a.png"):
        with pytest.raises(RecordError, match="unsafe_path"):
            storage.url_below(path, root)
    assert storage.url_below("images//a.png", root) == f"{root}/images/a.png"
    assert storage.url_below("none/a.png", root) == f"{root}/none/a.png"
