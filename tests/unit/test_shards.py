"""Shards on disk: what goes in comes out, each image once, and changed bytes are caught."""

from pathlib import Path

import numpy as np
import pytest

from data_pipeline.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from data_pipeline.encode import EncodedComparison, EncodedImage, Segments
from data_pipeline.errors import CorruptData
from data_pipeline.shards import COMPARISON_SCHEMA, IMAGE_SCHEMA, ShardRow, read_table, shard_urls, write_shard

IMAGES = {key: EncodedImage(key, key.encode() * 9, 56, 84) for key in ("a", "b")}


def row(name: str, keys: tuple[str, ...]) -> ShardRow:
    comparison = Comparison(
        id=name,
        source="s",
        prompt=(Turn("user", (*(ImageSlot(i) for i in range(len(keys))), "What?")),),
        responses=(Response(("Yes.",), 0, 1.5), Response(("No.",), 1)),
        media=tuple(MediaRef(data=IMAGES[key].data) for key in keys),
    )
    encoded = EncodedComparison(
        id=name,
        source="s",
        split="train",
        prefix_ids=np.array([5, 6, 7], np.int32),
        response_ids=(np.array([1], np.int32), np.array([2, 3], np.int32)),
        ranks=(0, 1),
        scores=(1.5, None),
        images=tuple(IMAGES[key] for key in keys),
    )
    return ShardRow(comparison, encoded, Segments((1, 2), (0, len(keys)), (0, 0)), f"key-{name}")


ROWS = [row("1", ("b",)), row("2", ()), row("3", ("a", "b", "a"))]


def test_rows_come_back_and_an_image_is_stored_once(tmp_path: Path) -> None:
    info, spans = write_shard(str(tmp_path), "00003", ROWS)
    comparisons_url, images_url = shard_urls(str(tmp_path), "00003")
    comparisons, images = read_table(comparisons_url, info.sha256), read_table(images_url, info.images_sha256)
    assert comparisons.schema == COMPARISON_SCHEMA and images.schema == IMAGE_SCHEMA
    assert (info.name, info.num_rows, info.num_images) == ("00003", 3, 2)
    assert spans == comparisons["images"].to_pylist() == [[0], [], [1, 0, 1]]
    assert images["data"].to_pylist() == [b"b" * 9, b"a" * 9]
    last = comparisons.slice(2).to_pylist()[0]
    assert last["prompt"][0]["parts"] == [
        {"text": None, "span": 0},
        {"text": None, "span": 1},
        {"text": None, "span": 2},
        {"text": "What?", "span": None},
    ]
    assert [response["score"] for response in last["responses"]] == [1.5, None]
    assert (last["prefix_ids"], last["response_ids"], last["ranks"]) == ([5, 6, 7], [[1], [2, 3]], [0, 1])
    assert (last["turn_lengths"], last["turn_images"]) == ([1, 2], [0, 3])
    assert images["resized"].to_pylist() == [False, False]
    assert [info.bytes, info.image_bytes] == [Path(url).stat().st_size for url in (comparisons_url, images_url)]


def test_same_rows_same_bytes(tmp_path: Path) -> None:
    first, _ = write_shard(str(tmp_path / "x"), "0", ROWS)
    second, _ = write_shard(str(tmp_path / "y"), "0", [row("1", ("b",)), row("2", ()), row("3", ("a", "b", "a"))])
    assert first == second


def test_an_empty_shard_is_a_shard(tmp_path: Path) -> None:
    info, _ = write_shard(str(tmp_path), "0", [])
    assert read_table(shard_urls(str(tmp_path), "0")[0], info.sha256).num_rows == 0


def test_changed_cut_and_missing_files_are_caught(tmp_path: Path) -> None:
    info, _ = write_shard(str(tmp_path), "0", ROWS)
    url, images_url = shard_urls(str(tmp_path), "0")
    whole = Path(url).read_bytes()
    Path(url).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CorruptData, match="sha256"):
        read_table(url, info.sha256)
    Path(url).write_bytes(whole[:40])
    with pytest.raises(CorruptData, match="no whole Arrow file"):
        read_table(url)
    Path(images_url).unlink()
    with pytest.raises(CorruptData, match="missing"):
        read_table(images_url, info.images_sha256)
