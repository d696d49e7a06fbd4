"""Shards read back: what was written, cut as filtering decided, from local folders and from a cache of remote ones."""

import json
import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_toys import row, write_folder

from data_pipeline.dataset.layout import shard_urls
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.shard_reader import ShardReader
from data_pipeline.dataset.shards import (
    COMPARISON_SCHEMA,
    IMAGE_SCHEMA,
    ShardRow,
    read_table,
    write_shard,
)
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.truncate import Cut
from data_pipeline.errors import CorruptData, MissingInput
from data_pipeline.storage.cache import ShardCache

WHOLE_OF = {k: Cut(0, (10**9,) * k) for k in range(1, 5)}


def reader(folder: Path, rows: list[ShardRow]) -> ShardReader:
    write_shard(str(folder), "0", rows)
    return ShardReader(*(read_table(url) for url in shard_urls(str(folder), "0")))


def same(found: EncodedComparison, expected: EncodedComparison) -> bool:
    arrays = zip((found.prefix_ids, *found.response_ids), (expected.prefix_ids, *expected.response_ids), strict=True)
    rest = replace(found, prefix_ids=None, response_ids=()), replace(expected, prefix_ids=None, response_ids=())
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays) and rest[0] == rest[1]


ROWS = [
    row("one", spans=(1,), scores=(1.5, None)),
    row("zwei ä", lengths=(1, 1, 3), text=""),
    row("three", spans=(2, 0, 2)),
    row("four", lengths=(9,), scores=(-2.0,)),
]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    shard = reader(tmp_path, ROWS)
    assert len(shard) == 4
    for place, expected in enumerate(ROWS):
        found = shard.encoded(place, WHOLE_OF[len(expected.encoded.ranks)], "train")
        assert same(found, replace(expected.encoded, split="train"))
        assert all(type(image.data) is bytes for image in found.images)
        assert not found.prefix_ids.flags.owndata and not found.prefix_ids.flags.writeable


def test_texts_come_back_as_they_were(tmp_path: Path) -> None:
    shard = reader(tmp_path, ROWS)
    for place, expected in enumerate(ROWS):
        assert shard.comparison(place, "heldout") == replace(expected.comparison, split="heldout")


def test_a_table_of_several_batches_and_slices(tmp_path: Path) -> None:
    write_shard(str(tmp_path), "0", ROWS)
    comparisons, images = (read_table(url) for url in shard_urls(str(tmp_path), "0"))
    pieces = pa.concat_tables([comparisons.slice(0, 1), comparisons.slice(1, 2), comparisons.slice(3)])
    pictures = pa.concat_tables([images.slice(0, 2), images.slice(2)])
    shard = ShardReader(pieces, pictures)
    for place, expected in enumerate(ROWS):
        found = shard.encoded(place, WHOLE_OF[len(expected.encoded.ranks)], "train")
        assert same(found, replace(expected.encoded, split="train"))


def test_shards_without_rows_or_without_images(tmp_path: Path) -> None:
    assert len(ShardReader(COMPARISON_SCHEMA.empty_table(), IMAGE_SCHEMA.empty_table())) == 0
    shard = reader(tmp_path, [ROWS[1]])
    assert same(shard.encoded(0, WHOLE_OF[3], ""), ROWS[1].encoded)


def test_turns_after_the_system_turn_are_dropped_and_images_stay(tmp_path: Path) -> None:
    made = row("long", spans=(1,), turns=(4, 3, 2, 6, 1))
    made = replace(made, segments=replace(made.segments, images=(0, 0, 0, 1, 0)))
    found = reader(tmp_path, [made]).encoded(0, Cut(2, (2, 5)), "train")
    assert found.prefix_ids.tolist() == [*range(4), *range(9, 16)]
    assert found.images == made.encoded.images


def test_a_cut_response_keeps_its_beginning_and_its_last_token(tmp_path: Path) -> None:
    made = row("long", turns=(3, 1), lengths=(2, 6))
    found = reader(tmp_path, [made]).encoded(0, Cut(0, (2, 4)), "train")
    assert [ids.tolist() for ids in found.response_ids] == [[4, 5], [6, 7, 8, 11]]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.lists(st.integers(0, 2), max_size=4), st.lists(st.integers(1, 6), min_size=1, max_size=4)),
                min_size=1, max_size=6))  # fmt: skip
def test_any_shard_comes_back(tmp_path_factory: pytest.TempPathFactory, shapes: list[Any]) -> None:
    rows = [row(f"r{i}", spans=tuple(s), lengths=tuple(lengths)) for i, (s, lengths) in enumerate(shapes)]
    shard = reader(tmp_path_factory.mktemp("shard"), rows)
    for place, expected in enumerate(rows):
        assert same(shard.encoded(place, WHOLE_OF[len(expected.encoded.ranks)], ""), expected.encoded)


CHANGES: dict[str, dict[str, Any]] = {
    "zwei ä": {"mark": "duplicate"},
    "three": {"split": "heldout"},
    "four": {"repeats": 3, "response_lengths": [4]},
    "five": {"repeats": 0},
}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    write_folder(str(tmp_path / "out"), [ROWS[:3], [ROWS[3], row("five")]], CHANGES)
    return str(tmp_path / "out")


def test_refused_rows_are_left_out_and_repeats_are_counted(folder: str) -> None:
    data = PreparedData.open(folder)
    assert len(data) == 4 and len(data.all_rows) == 5
    assert data.rows["id"].to_pylist() == ["one", "three", "four", "five"]
    assert [data.encoded(i).id for i in range(4)] == ["one", "three", "four", "five"]
    assert [data.comparison(i).id for i in range(4)] == ["one", "three", "four", "five"]
    assert data.split_indices("train").tolist() == [0, 2, 3]
    assert data.split_indices("heldout").tolist() == [1]
    assert data.epoch_indices("train").tolist() == [0, 2, 2, 2]
    assert data.row_indices(np.array([1, 2])).tolist() == [2, 3]
    assert data.encoded(1).split == data.comparison(1).split == "heldout"
    with pytest.raises(IndexError, match="4 of 4"):
        data.encoded(4)


def test_the_cut_of_the_rows_is_applied(folder: str) -> None:
    found = PreparedData.open(folder).encoded(2)
    whole = ROWS[3].encoded.response_ids[0]
    assert found.response_ids[0].tolist() == [*whole[:3].tolist(), int(whole[-1])]


def test_an_older_manifest_and_a_pickle_open_the_same_data(folder: str) -> None:
    for place in (folder, f"{folder}/manifest.json", f"{folder}/manifests/a.json"):
        data = pickle.loads(pickle.dumps(PreparedData.open(place)))
        assert data.folder == folder
        assert data.encoded(0).id == "one"


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_changed_bytes_are_caught_at_the_first_read_and_by_verify(folder: str) -> None:
    damage(Path(folder) / "shards" / "s1.images.arrow")
    data = PreparedData.open(folder)
    data.encoded(0)
    with pytest.raises(CorruptData, match=r"s1\.images"):
        data.encoded(2)
    with pytest.raises(CorruptData, match=r"s1\.images"):
        data.verify()


def test_changed_rows_are_caught(folder: str) -> None:
    damage(Path(folder) / "rows.a.arrow")
    with pytest.raises(CorruptData, match=r"rows\.a\.arrow"):
        PreparedData.open(folder)


def test_an_unfinished_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"manifest\.json"):
        PreparedData.open(str(tmp_path))


def test_a_shard_opened_again_is_not_hashed_again(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def counted(url: str, sha256: str | None = None, **options: bool) -> pa.Table:
        asked.append(sha256)
        return read_table(url, sha256, **options)

    monkeypatch.setattr("data_pipeline.dataset.prepared.read_table", counted)
    data = PreparedData.open(folder)
    for _ in range(2):
        data.encoded(0)
        data._reader.cache_clear()
    assert [sha256 is None for sha256 in asked] == [False, False, False, True, True]


@pytest.fixture
def remote(request: pytest.FixtureRequest) -> str:
    """A folder in fsspec's memory file system, which stands for any remote one."""
    folder = f"memory://{request.node.name}"
    write_folder(folder, [ROWS[:3], [ROWS[3], row("five")]], CHANGES)
    return folder


def test_remote_shards_are_read_through_the_cache(remote: str, tmp_path: Path) -> None:
    cache = ShardCache(str(tmp_path / "cache"), limit_bytes=10**7)
    data = PreparedData.open(remote, cache)
    assert data.encoded(0).images == ROWS[0].encoded.images
    copies = {path.name for path in (tmp_path / "cache").iterdir() if path.is_file()}
    first = data.manifest.shards[0]
    assert copies == {first.sha256, first.images_sha256}
    again = pickle.loads(pickle.dumps(data))
    data.prefetch(np.arange(len(data)))
    wanted = {digest for shard in data.manifest.shards for digest in (shard.sha256, shard.images_sha256)}
    while not wanted <= {path.name for path in (tmp_path / "cache").iterdir()}:  # the test's time limit ends it
        time.sleep(0.01)
    cache.close()
    assert again.encoded(3).id == "five"


def test_remote_shards_without_a_cache_are_read_into_memory(remote: str) -> None:
    data = PreparedData.open(remote)
    data.prefetch(np.arange(4))
    assert [data.encoded(i).id for i in range(4)] == ["one", "three", "four", "five"]
    data.verify()


def test_a_manifest_of_another_version_is_refused(folder: str) -> None:
    path = Path(folder) / "manifest.json"
    fields = json.loads(path.read_text())
    del fields["checksum"]
    path.write_text(json.dumps({**fields, "schema_version": 1}))
    with pytest.raises(CorruptData, match="schema version 1"):
        PreparedData.open(folder)
