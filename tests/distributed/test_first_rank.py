"""Work of rank 0 for which the others wait: they hear of each part, and of its error; nobody is taken for hanging."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from distributed_ranks import run_ranks
from stalling_ranks import run_stalling

from data_pipeline.errors import RunError
from rm_core.training.first_rank import on_first_rank
from rm_core.training.watchdog import STALLED_EXIT_CODE


def told(work: Callable[[Callable[[str], None]], None], every_s: float = 0.0) -> tuple[list[str], str]:
    """What this rank heard, and its error."""
    heard: list[str] = []
    try:
        on_first_rank(work, beat=heard.append, every_s=every_s)
    except (RunError, OSError) as error:
        return heard, f"{type(error).__name__}: {error}"
    return heard, ""


def parts(report: Callable[[str], None]) -> None:
    for part in ("one", "two"):
        report(part)


def failing(report: Callable[[str], None]) -> None:
    report("one")
    raise OSError("the disk is full")


def cases() -> dict[str, Any]:
    return {"all": told(parts), "seldom": told(parts, every_s=60), "failing": told(failing)}


def test_others_hear_of_each_part_and_of_an_error(tmp_path: Path) -> None:
    first, other = run_ranks(cases, 2, tmp_path)
    assert first["all"] == other["all"] == (["one", "two"], "")
    assert first["seldom"] == (["one", "two"], "") and other["seldom"] == ([], "")
    assert first["failing"] == (["one"], "OSError: the disk is full")
    assert other["failing"] == (["one"], "RunError: the disk is full")


def longer_than_the_group(folder: str) -> list[str]:
    dist.destroy_process_group()
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=int(os.environ["RANK"]), world_size=2,
        timeout=timedelta(seconds=4),
    )  # fmt: skip

    def work(report: Callable[[str], None]) -> None:
        for part in range(8):
            time.sleep(1)
            report(str(part))

    heard, error = told(work)
    assert not error, error
    return heard


@pytest.mark.drill
def test_it_may_take_longer_than_the_group_waits_for_a_call(tmp_path: Path) -> None:
    assert run_ranks(longer_than_the_group, 2, tmp_path, str(tmp_path))[1] == [str(part) for part in range(8)]


@pytest.mark.drill
def test_the_watchdog_leaves_work_alone_that_says_its_parts(tmp_path: Path) -> None:
    """It takes twice the watchdog's time."""
    ranks = run_stalling("long work", tmp_path / "group", timeout_s=4.0)
    assert [rank.exit_code for rank in ranks] == [0, 0]
    assert not any(rank.report for rank in ranks)


@pytest.mark.drill
def test_the_watchdog_ends_work_that_says_nothing(tmp_path: Path) -> None:
    ranks = run_stalling("silent work", tmp_path / "group", timeout_s=4.0)
    assert [rank.exit_code for rank in ranks] == [STALLED_EXIT_CODE] * 2
    assert "rank 0 is behind" in ranks[1].report and "export in part 0" in ranks[1].report
