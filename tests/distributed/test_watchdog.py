"""A rank that hangs is named with its step, module and Comparisons, and the group ends; a slow one is left alone."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from sharding import How
from stalling_ranks import HANG_STEP, MODULE, Ended, run_stalling
from toys import toy_reward_model

from data_pipeline.errors import RunError
from rm_core.training.watchdog import STALLED_EXIT_CODE, Watchdog
from rm_core.training.watchdog.exchange import group_store
from rm_core.training.watchdog.report import Place, Seen, stall_report


def test_a_rank_that_hangs_in_loading_is_named_by_both_and_both_end(tmp_path: Path) -> None:
    ranks = run_stalling("loading", tmp_path / "group")
    assert [rank.exit_code for rank in ranks] == [STALLED_EXIT_CODE] * 2
    for rank in ranks:
        assert rank.report in rank.stderr
        assert line(rank, "rank 1 is behind").endswith(f"step {HANG_STEP}, row 0, loading")
        assert "last Comparisons: toy-11" in rank.report  # of the row before the one that doesn't come
        assert "_hang (stalling_ranks.py:" in line(rank, "its code")
        assert "cure: data stall" in rank.report
        waiting = line(rank, "  rank 0: ")
        assert f"step {HANG_STEP}, row 0, " in waiting and " in backbone." in waiting
        assert "waits in a collective" in waiting
    assert "time.sleep(SLEEP_S)" in ranks[1].report and "time.sleep(SLEEP_S)" not in ranks[0].report


@pytest.mark.drill
@pytest.mark.parametrize("how", [3, "fsdp-3"])
@pytest.mark.parametrize(("case", "phase"), [("module", "forward"), ("backward", "backward")])
def test_a_rank_that_hangs_inside_a_module_is_named_with_it(case: str, phase: str, how: How, tmp_path: Path) -> None:
    ranks = run_stalling(case, tmp_path / "group", how=how)
    assert [rank.exit_code for rank in ranks] == [STALLED_EXIT_CODE] * 2
    assert line(ranks[0], "rank 1 is behind").endswith(f"step {HANG_STEP}, row 0, {phase} in {MODULE}")
    assert "last Comparisons: toy-21" in ranks[0].report


@pytest.mark.drill
def test_a_stopped_rank_is_said_to_be_dead_or_frozen(tmp_path: Path) -> None:
    waiting, stopped = run_stalling("stopped", tmp_path / "group")
    assert (waiting.exit_code, stopped.exit_code) == (STALLED_EXIT_CODE, -9)
    assert line(waiting, "rank 1 is dead or frozen").endswith(f"last seen at step {HANG_STEP}, row 0, loading")
    assert "last Comparisons: toy-11" in waiting.report


@pytest.mark.drill
def test_a_stopped_rank_that_holds_the_store_is_told_from_its_silence(tmp_path: Path) -> None:
    stopped, waiting = run_stalling("host stopped", tmp_path / "group")
    assert (stopped.exit_code, waiting.exit_code) == (-9, STALLED_EXIT_CODE)
    assert "the group's store, a thread of the process of rank 0, does not answer" in waiting.report
    assert f"step {HANG_STEP}, row 0, " in line(waiting, "  rank 1: ")


@pytest.mark.drill
@pytest.mark.parametrize("how", [3, "fsdp-3"])
def test_a_slow_group_is_left_alone_and_its_weights_keep_their_bits(how: How, tmp_path: Path) -> None:
    slow = run_stalling("slow", tmp_path / "slow", how=how)
    unwatched = run_stalling("none", tmp_path / "unwatched", how=how, timeout_s=0)
    assert [rank.exit_code for rank in slow + unwatched] == [0] * 4
    assert not any(rank.report for rank in slow)
    assert slow[0].weights.keys() == unwatched[0].weights.keys() != set()
    for name, value in unwatched[0].weights.items():
        assert torch.equal(slow[0].weights[name], value), name


@pytest.mark.drill
def test_one_rank_alone_reports_itself(tmp_path: Path) -> None:
    (alone,) = run_stalling("module", tmp_path / "group", world_size=1)
    assert alone.exit_code == STALLED_EXIT_CODE
    assert line(alone, "rank 0 is behind").endswith(f"step {HANG_STEP}, row 0, forward in {MODULE}")
    assert "last Comparisons: toy-20" in alone.report


def line(rank: Ended, start: str) -> str:
    """The report's line that holds `start`."""
    return next(text for text in rank.report.splitlines() if start in text)


PLACE = Place(
    rank=0, host="node-1", process=7, step=4, row=1, phase="backward", module="layers.3", ids=("a", "b"), idle_s=9.0,
    beat=5, code="wait (comm.py:1)", in_collective=True, error="", reported=False,
)  # fmt: skip


def report_of(*seen: Seen, store_error: str = "") -> str:
    return stall_report(seen, rank=0, timeout_s=9, exit_code=75, store_error=store_error)


def of(**changes: object) -> Seen:
    place = replace(PLACE, **changes)
    return Seen(place.rank, place, is_frozen=False)


def test_the_rank_that_runs_code_is_named_among_those_at_one_place() -> None:
    text = report_of(of(), of(rank=1), of(rank=2, in_collective=False, ids=("c",)), of(rank=3))
    assert "rank 2 is behind" in text and "rank 1 is behind" not in text
    assert "last Comparisons: c" in text
    assert "\n  ranks 0-1, 3: step 4, row 1, backward in layers.3, waits" in text


@pytest.mark.parametrize(
    ("behind", "ahead"),
    [
        ({"step": 3, "phase": "checkpoint"}, {"step": 4, "phase": "step mean"}),
        ({"phase": "step mean", "row": 5}, {"phase": "loading", "row": 0}),
        ({"row": 1, "phase": "backward"}, {"row": 2, "phase": "loading"}),
        ({"row": 7, "phase": "backward"}, {"row": 7, "phase": "optimiser step"}),
        ({"row": 7, "phase": "optimiser step"}, {"row": 6, "phase": "metrics"}),
    ],
)
def test_ranks_are_ordered_by_step_row_and_phase(behind: dict[str, object], ahead: dict[str, object]) -> None:
    text = report_of(of(**ahead, in_collective=False), of(rank=1, **behind, in_collective=False))
    assert "rank 1 is behind" in text and "rank 0 is behind" not in text


def test_a_group_that_waits_for_nobody_is_a_matter_of_the_network_or_of_different_work() -> None:
    assert "NCCL_DEBUG=INFO" in report_of(of(), of(rank=1))
    assert "their work differs" in report_of(of(), of(rank=1, module="layers.2"))


def test_a_rank_that_failed_or_never_spoke_is_named_first() -> None:
    failed = of(rank=1, phase="ended", error="RunError: no space")
    assert "rank 1 failed: RunError: no space" in report_of(of(), failed)
    text = report_of(of(), Seen(1, None, is_frozen=True))
    assert "rank 1 is dead or frozen: it never wrote a record" in text


def test_a_store_out_of_reach_is_said() -> None:
    text = report_of(of(in_collective=False), store_error="silent for 16 s")
    assert "does not answer: silent for 16 s" in text and "that process is dead or frozen" in text


def test_a_group_that_would_give_up_first_is_refused(tmp_path: Path) -> None:
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    try:
        with pytest.raises(RunError, match=r"train\.stall_timeout_s=1e\+06"):
            group_store(1e6)
    finally:
        dist.destroy_process_group()


class OtherRecord:
    """A store that holds what rank 1 said."""

    def __init__(self, place: Place) -> None:
        self._texts = {"watchdog/1": json.dumps(asdict(place)).encode()}

    def set(self, key: str, value: str) -> None:
        self._texts[key] = value.encode()

    def check(self, keys: list[str]) -> bool:
        return all(key in self._texts for key in keys)

    def multi_get(self, keys: list[str]) -> list[bytes]:
        return [self._texts[key] for key in keys]


@pytest.mark.parametrize(("reported", "exit_codes"), [(True, [STALLED_EXIT_CODE]), (False, [])])
def test_a_rank_whose_collective_breaks_behind_a_stall_ends_as_stalled(
    reported: bool, exit_codes: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    store = OtherRecord(replace(PLACE, rank=1, reported=reported))
    watchdog = Watchdog(toy_reward_model(), timeout_s=1000, rank=0, world_size=2, report=print, store=store)
    with pytest.raises(RuntimeError), watchdog:
        raise RuntimeError("Connection closed by peer")
    assert left == exit_codes
    assert ("see the report of rank 1" in capsys.readouterr().err) == reported


def test_zero_switches_everything_off() -> None:
    model = toy_reward_model()
    with Watchdog(model, timeout_s=0, rank=0, world_size=2, report=print) as watchdog:
        watchdog.enter("loading", step=0)
        assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
