"""Shards with changed bytes that match their manifest: reading gives data or `CorruptData`, never a signal."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bent_shards
import pyarrow as pa
import pytest
from shard_toys import row, write_folder

from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.shards import read_table, serialise, table_of
from data_pipeline.errors import CorruptData

ROWS = [row("a", spans=(0, 1)), row("b", lengths=(3, 2, 1)), row("c", spans=(2,), scores=(1.0, 2.0))]
CHANGES = 80


def test_bytes_changed_at_random_give_data_or_corrupt_data(tmp_path: Path) -> None:
    write_folder(str(tmp_path), [ROWS])
    done = subprocess.run(
        [sys.executable, bent_shards.__file__, str(tmp_path), str(CHANGES)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr  # negative: the signal that ended it
    assert len(done.stdout.splitlines()) == len(bent_shards.FILES)
    assert done.stdout.count("CorruptData") == len(bent_shards.FILES)


@pytest.mark.parametrize("beyond", [6, 1 << 20, (1 << 31) - 1, -1])
@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.list_(pa.int32())])
def test_an_offset_beyond_the_data_is_found_when_the_file_is_opened(kind: pa.DataType, beyond: int) -> None:
    value = [1, 2] if pa.types.is_list(kind) else "ab"
    blob = serialise(pa.table({"column": pa.array([value, value], kind)}))
    assert table_of(pa.py_buffer(blob), "x.arrow").num_rows == 2
    offsets = b"".join(number.to_bytes(4, "little", signed=True) for number in (0, 2, 4))
    assert blob.count(offsets) == 1
    changed = blob.replace(offsets, offsets[:8] + beyond.to_bytes(4, "little", signed=True))
    with pytest.raises(CorruptData, match=r"x.arrow.*copy it from where it was made"):
        table_of(pa.py_buffer(changed), "x.arrow")


def gone(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def replaced(path: Path) -> None:
    path.write_bytes(b"<!doctype html><title>404</title>")


def bent(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"What?", b"What!"))


@pytest.mark.parametrize("damage", [gone, emptied, cut, replaced, bent])
@pytest.mark.parametrize("is_checked", [True, False])
def test_no_message_advises_to_delete_what_may_be_the_only_copy(
    tmp_path: Path, damage: Callable[[Path], None], is_checked: bool
) -> None:
    write_folder(str(tmp_path), [ROWS])
    shard = Manifest.read(str(tmp_path)).shards[0]
    damage(tmp_path / "shards" / "s0.arrow")
    if damage is bent and not is_checked:
        return  # nobody can see that
    with pytest.raises(CorruptData, match="copy it from where it was made") as caught:
        read_table(str(tmp_path / "shards" / "s0.arrow"), shard.sha256 if is_checked else None)
    assert not re.search("delete|remove|empty the", str(caught.value))
