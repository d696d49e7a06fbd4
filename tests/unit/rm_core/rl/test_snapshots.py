from pathlib import Path

import pytest

from data_pipeline.errors import CorruptData
from rm_core.rl.snapshots import SnapshotStore


def store_with(folder: Path, *steps: int) -> SnapshotStore:
    store = SnapshotStore(str(folder / "checkpoints"), str(folder / "draft"), is_first_of_node=True)
    for step in steps:
        draft = folder / "draft" / f"checkpoint-{step}"
        (draft / "global_step").mkdir(parents=True)
        (draft / "model.safetensors").write_bytes(b"weights")
        (draft / "global_step" / "rank0").write_bytes(b"optimiser")
        store.keep(step)
    return store


def test_a_checkpoint_is_complete_or_absent(tmp_path: Path) -> None:
    store = store_with(tmp_path, 5, 10)
    assert store.steps() == [5, 10] and list((tmp_path / "draft").iterdir()) == []
    (tmp_path / "checkpoints" / "step-00000010" / "COMPLETE.json").unlink()
    assert store.steps() == [5]
    assert Path(store.local(5), "global_step", "rank0").read_bytes() == b"optimiser"
    store.keep_only([])
    assert store.steps() == []


@pytest.mark.parametrize("name", ["model.safetensors", "global_step/rank0"])
def test_a_damaged_file_is_told(tmp_path: Path, name: str) -> None:
    store = store_with(tmp_path, 5)
    (tmp_path / "checkpoints" / "step-00000005" / name).write_bytes(b"other")
    with pytest.raises(CorruptData, match=name):
        store.local(5)


def test_in_place_of_a_damaged_checkpoint_the_one_before_is_taken(tmp_path: Path) -> None:
    store, told = store_with(tmp_path, 5, 10), list[str]()
    assert str(store.newest(told.append)).endswith("step-00000010") and told == []
    (tmp_path / "checkpoints" / "step-00000010" / "model.safetensors").write_bytes(b"other")
    assert str(store.newest(told.append)).endswith("step-00000005")
    assert len(told) == 1 and "step-00000010/model.safetensors" in told[0]
    (tmp_path / "checkpoints" / "step-00000005" / "COMPLETE.json").write_bytes(b"{}")
    assert store.newest(told.append) is None and len(told) == 3
