"""A checkpoint is complete or absent, comes back as it was, and says what is wrong with it."""

import json
import os
import resource
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from s3_faults import FaultyProxy
from s3_server import S3Server, forget_file_systems, s3_server
from torch import Tensor

from data_pipeline.errors import CorruptData, RunError
from data_pipeline.storage import from_checked_json, list_files, to_checked_json
from rm_core.checkpoints import Checkpoint, CheckpointSaver, CheckpointStore, Retention, Snapshot, resume_newest
from rm_core.checkpoints.fragments import Fragment, even_share
from rm_core.checkpoints.layout import Marker, parsed

__all__ = ["s3_server"]

SIZES = {"a": 10, "b": 7, "c": 1}


class Ranks:
    """Savers of several ranks, a thread each; they agree as collectives would."""

    def __init__(self, url: str, world_size: int, *, attempt: str = "one", **options: Any) -> None:
        self.said: list[str] = []
        self._votes = [True] * world_size
        self._barrier = threading.Barrier(world_size)
        self.savers = [
            CheckpointSaver(
                CheckpointStore(url), rank=rank, world_size=world_size, attempt=attempt,
                agree=self._agree(rank), report=self.said.append, **{"keep": Retention(), "retry_s": 0.0} | options,
            )
            for rank in range(world_size)
        ]  # fmt: skip

    def _agree(self, rank: int) -> Callable[[bool], bool]:
        def agree(yes: bool) -> bool:
            self._votes[rank] = yes
            self._barrier.wait()
            found = all(self._votes)
            self._barrier.wait()
            return found

        return agree

    def each(self, action: Callable[[int, CheckpointSaver], None]) -> list[Exception]:
        """`action` on all ranks at once; what they raised."""
        errors: list[Exception] = []

        def run(rank: int) -> None:
            try:
                action(rank, self.savers[rank])
            except RunError as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(self.savers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return errors

    def save(self, step: int, score: float | None = None) -> list[Exception]:
        world_size = len(self.savers)
        return self.each(lambda rank, saver: saver.save(snapshot(step, rank, world_size, score)))

    def close(self) -> list[Exception]:
        return self.each(lambda rank, saver: saver.close())


def values(step: int, name: str, start: int, numel: int) -> Tensor:
    """What parameter `name` holds at `step`."""
    return torch.arange(start, start + numel, dtype=torch.float32) + 1000 * step + 100 * ord(name)


def snapshot(step: int, rank: int, world_size: int, score: float | None = None) -> Snapshot:
    shares = [(name, *even_share(size, rank, world_size)) for name, size in SIZES.items()]
    fragments = [
        (Fragment(name, start, numel), {"master": values(step, name, start, numel)})
        for name, start, numel in shares
        if numel
    ]
    state = {"cpu_random": torch.full((3,), rank, dtype=torch.uint8)}
    return Snapshot(step=step, fragments=fragments, rank_state=state, facts={"loss": 0.1, "step": step}, score=score)


def write(url: str, *steps: int, world_size: int = 2, **options: Any) -> Ranks:
    ranks = Ranks(url, world_size, **options)
    for step in steps:
        assert ranks.save(step) == []
    assert ranks.close() == []
    return ranks


def opened(url: str, step: int, rank: int = 0) -> Checkpoint:
    return CheckpointStore(url).open(step, rank=rank, copies=f"{url}-copies" if "://" not in url else "copies")


def read_all(checkpoint: Checkpoint) -> None:
    for name, size in SIZES.items():
        assert torch.equal(checkpoint.read("master", name, 0, size), values(checkpoint.step, name, 0, size))


def resume(url: str) -> tuple[int | None, list[str]]:
    said: list[str] = []
    step = resume_newest(
        CheckpointStore(url), read_all, rank=0, copies=f"{url}-copies",
        agree=lambda yes: yes, share=lambda value: value, report=said.append,
    )  # fmt: skip
    return step, said


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "lr[1]*" / "kept")  # marks of globs are letters in the name of a folder


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_any_range_is_joined_from_any_number_of_ranks(url: str, world_size: int) -> None:
    write(url, 5, world_size=world_size)
    with opened(url, 5, rank=1) as checkpoint:
        assert checkpoint.facts == {"loss": 0.1, "step": 5}
        for start in range(SIZES["a"]):
            for numel in range(SIZES["a"] - start + 1):
                assert torch.equal(checkpoint.read("master", "a", start, numel), values(5, "a", start, numel))
        own = checkpoint.of_rank()
        assert (own is None) if world_size == 1 else (own is not None and own["cpu_random"].tolist() == [1, 1, 1])
        with pytest.raises(CorruptData, match="misses a part of 'a': no rank keeps element 10"):
            checkpoint.read("master", "a", 8, 3)
        with pytest.raises(CorruptData, match="has no 'exp_avg/a'"):
            checkpoint.read("exp_avg", "a", 0, 1)


def test_only_what_has_a_marker_is_there(url: str) -> None:
    assert CheckpointStore(url).complete_steps() == [] and resume(url) == (None, [])
    write(url, 1, 2)
    (Path(url) / "step-00000002" / "COMPLETE.json").unlink()
    assert CheckpointStore(url).complete_steps() == [1]
    assert resume(url) == (1, [])
    write(url, 3)
    assert sorted(path.name for path in Path(url).iterdir()) == ["step-00000001", "step-00000003"]


def truncate(folder: Path) -> None:
    path = folder / "rank-00001-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def flip(folder: Path) -> None:
    path = folder / "rank-00001-of-00002.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def swap(folder: Path) -> None:
    first, second = folder / "rank-00000-of-00002.safetensors", folder / "rank-00001-of-00002.safetensors"
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def alter_record(folder: Path) -> None:
    path = folder / "rank-00000-of-00002.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rank": 1}))


def rename(folder: Path) -> None:
    marker = folder / "COMPLETE.json"
    marker.write_bytes(to_checked_json(from_checked_json(marker.read_bytes(), "marker") | {"step": 9}))


DAMAGES: list[tuple[Callable[[Path], Any], str]] = [
    (truncate, r"rank-00001-of-00002.safetensors' has \d+ bytes where \d+ were written"),
    (flip, "holds other bytes than were written"),
    (swap, "bytes where|holds other bytes"),
    (alter_record, "holds other bytes than were written"),
    (lambda folder: (folder / "rank-00001-of-00002.json").unlink(), "is gone from a complete checkpoint"),
    (lambda folder: (folder / "rank-00000-of-00002.safetensors").unlink(), "is gone from a complete checkpoint"),
    (lambda folder: (folder / "COMPLETE.json").write_text("{"), "is damaged"),
    (lambda folder: (folder / "COMPLETE.json").write_text("[]"), "is damaged"),
    (rename, "is of step 9"),
]


@pytest.mark.parametrize(("damage", "why"), DAMAGES, ids=lambda value: getattr(value, "__name__", "") or None)
def test_a_damaged_one_is_passed_over_for_the_one_before_and_named(
    url: str, damage: Callable[[Path], Any], why: str
) -> None:
    write(url, 1, 2)
    damage(Path(url) / "step-00000002")
    step, said = resume(url)
    assert step == 1
    assert len(said) == 1 and said[0].startswith("the checkpoint of step 2 is passed over: ")
    with pytest.raises(CorruptData, match=why), opened(url, 2) as checkpoint:
        checkpoint.verify()


def test_a_changed_bit_in_a_marker_is_noticed(url: str) -> None:
    """Every single bit of it: a step, an update count or a key that differs would change how the training goes on."""
    write(url, 1)
    path = Path(url) / "step-00000001" / "COMPLETE.json"
    good = path.read_bytes()
    expected = parsed(Marker, good, str(path))
    unnoticed = []
    for place in range(len(good) * 8):
        changed = bytearray(good)
        changed[place // 8] ^= 1 << place % 8
        try:
            found = parsed(Marker, bytes(changed), str(path))
        except CorruptData:
            continue
        if found != expected:
            unnoticed.append(place)
    assert not unnoticed


def test_a_marker_without_a_checksum_is_refused(url: str) -> None:
    write(url, 1, 2)
    path = Path(url) / "step-00000002" / "COMPLETE.json"
    path.write_text(json.dumps(from_checked_json(path.read_bytes(), "marker")))
    step, said = resume(url)
    assert step == 1 and "has no checksum" in said[0]


def test_nothing_that_can_be_read_is_an_error_and_no_new_beginning(url: str) -> None:
    write(url, 1, 2)
    for step in (1, 2):
        flip(Path(url) / f"step-{step:08d}")
    with pytest.raises(CorruptData, match="none of the 2 checkpoints"):
        resume(url)


def test_parts_of_a_killed_attempt_are_never_mixed_in(url: str) -> None:
    """Rank 1's file of an attempt that died before its marker: the next attempt waits for rank 1's own."""
    write(url, 4, attempt="killed")
    shutil.rmtree(f"{url}-other", ignore_errors=True)
    (Path(url) / "step-00000004" / "COMPLETE.json").unlink()
    ranks = Ranks(url, 2, attempt="next")
    alone = threading.Thread(target=lambda: ranks.savers[0].save(snapshot(4, 0, 2)))
    alone.start()
    alone.join()
    assert not ranks.savers[0]._thread.join(0.5), "it waits"  # type: ignore[union-attr,func-returns-value]
    assert CheckpointStore(url).complete_steps() == []
    ranks.savers[1].save(snapshot(4, 1, 2))
    assert ranks.close() == []
    with opened(url, 4) as checkpoint:
        read_all(checkpoint)
        assert {record.attempt for record in map(checkpoint._record, (0, 1))} == {"next"}


def test_the_state_is_the_one_at_the_call(url: str) -> None:
    """What training changes afterwards doesn't reach the files."""
    weight = torch.ones(4)
    (saver,) = Ranks(url, 1).savers
    saver.save(Snapshot(step=1, fragments=[(Fragment("w", 0, 4), {"master": weight})], rank_state={}, facts={}))
    weight.zero_()
    saver.close()
    with opened(url, 1) as checkpoint:
        assert checkpoint.read("master", "w", 0, 4).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (Retention(), [4, 5]),
        (Retention(last=1), [5]),
        (Retention(last=1, best=2), [2, 3, 5]),
        (Retention(last=1, every=2), [2, 4, 5]),
        (Retention(last=9), [1, 2, 3, 4, 5]),
    ],
)
def test_what_stays(url: str, keep: Retention, left: list[int]) -> None:
    ranks = Ranks(url, 2, keep=keep)
    for step, score in zip(range(1, 6), (5.0, 1.0, 2.0, 3.0, None), strict=True):
        ranks.save(step, score)
    ranks.close()
    assert CheckpointStore(url).complete_steps() == left
    assert len(list(Path(url).iterdir())) == len(left)


def test_the_best_is_the_one_of_the_lowest_score_whenever_it_was_judged(url: str) -> None:
    ranks = Ranks(url, 1, keep=Retention(last=9))
    for step, score in zip(range(1, 6), (2.0, 3.0, 2.0, None, None), strict=True):
        ranks.save(step, score)
    ranks.close()
    store = CheckpointStore(url)
    assert store.best_steps() == [2, 1, 3], "of equal scores the newer one, as retention says"
    store.judge(4, 1.0)
    assert store.best_steps() == [2, 1, 3, 4]
    with opened(url, 4) as checkpoint:
        checkpoint.verify()
    assert Retention(last=1, best=1).removed({step: store.marker(step).score for step in range(1, 6)}) == [1, 2, 3]


@contextmanager
def small_files(num_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond it: the system refuses as a full disk does.

    It ends inside the test, before pytest writes its result: the output may go to a file, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_refuses_costs_checkpoints_and_training_goes_on(url: str) -> None:
    ranks = write(url, 1)
    with small_files(64):
        assert ranks.save(2) == [] and ranks.save(3) == []  # settles 2
        assert any("checkpoint of step 2 failed on rank 0" in text for text in ranks.said)
        assert {saver.failures for saver in ranks.savers} == {1}
        assert all(saver._part_done.wait(60) for saver in ranks.savers)  # 3 has failed before there is room again
    assert [type(error) for error in ranks.save(4)] == []  # settles 3
    assert ranks.close() == []
    assert CheckpointStore(url).complete_steps() == [1, 4]
    assert sorted(path.name for path in Path(url).iterdir()) == ["step-00000001", "step-00000004"]


def test_failures_in_a_row_end_the_training_and_so_does_a_last_one(url: str) -> None:
    ranks = Ranks(url, 2)
    with small_files(64):
        assert ranks.save(1) == [] and ranks.save(2) == [] and ranks.save(3) == []
        errors = ranks.save(4)
        last = Ranks(url, 1)
        assert last.save(5) == []
        (error,) = last.close()
    assert len(errors) == 2 and all("3 checkpoints in a row failed" in str(error) for error in errors)
    assert "the checkpoint of step 5 failed" in str(error)


def test_one_rank_that_fails_costs_the_checkpoint_on_all(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rm_core.checkpoints import saver as module

    real = module.write_part

    def failing(*arguments: Any, rank: int, **options: Any) -> None:
        if rank == 1:
            raise RunError("told to fail")
        real(*arguments, rank=rank, **options)

    monkeypatch.setattr(module, "write_part", failing)
    ranks = Ranks(url, 2)
    assert ranks.save(1) == []
    errors = ranks.close()
    assert len(errors) == 2 and CheckpointStore(url).complete_steps() == [] and os.listdir(url) == []
    assert ranks.said == ["checkpoint of step 1 failed on rank 1: told to fail"]


def test_s3_that_comes_back_gets_the_checkpoint(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{s3_server.bucket}/{tmp_path.name}/kept"
    monkeypatch.chdir(tmp_path)
    with FaultyProxy(s3_server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        forget_file_systems()
        monkeypatch.setattr("data_pipeline.storage.remote.ATTEMPTS", 1)
        monkeypatch.setattr("rm_core.checkpoints.saver._PAUSE_S", 0.2)
        ranks = Ranks(url, 2, retry_s=60.0)
        proxy.fail(12, method="PUT")
        assert ranks.save(1) == [] and ranks.save(2) == [] and ranks.close() == []
        assert any("trying again in" in text for text in ranks.said)
        assert CheckpointStore(url).complete_steps() == [1, 2]
        with opened(url, 2, rank=1) as checkpoint:
            read_all(checkpoint)
        write(url, 3)
        assert CheckpointStore(url).complete_steps() == [2, 3]
        assert not [name for name in list_files(f"{url}/**") if "step-00000001" in name]
    forget_file_systems()
