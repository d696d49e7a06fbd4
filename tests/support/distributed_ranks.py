"""Run a function on several CPU ranks (gloo) and bring back what each returned."""

import multiprocessing.forkserver
import os
import socket
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing


def run_ranks(function: Callable[..., Any], world_size: int, folder: Path, *arguments: Any) -> list[Any]:
    """`function(*arguments)` on every rank with `torch.distributed` ready; the results by rank.

    `function` must be importable. A rank that raises fails the test with its traceback.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Ranks are forked from a process that has imported what costs seconds; it has no threads of its own.
    multiprocessing.forkserver.set_forkserver_preload(["rm_core.training.worker"])
    torch.multiprocessing.start_processes(  # type: ignore[attr-defined, no-untyped-call]
        _rank, args=(function, world_size, port, str(folder), dict(os.environ), arguments), nprocs=world_size,
        start_method="forkserver",
    )  # fmt: skip
    return [torch.load(folder / f"result-{rank}.pt", weights_only=False) for rank in range(world_size)]


def with_drills(cases: Sequence[Any], quick: Collection[Any]) -> list[Any]:
    """Parameters of a test: those that are not `quick` are drills."""
    marks = {False: [pytest.mark.drill], True: []}
    return [pytest.param(*case, id="-".join(map(str, case)), marks=marks[case in quick]) for case in cases]


class RunsOfCases:
    """What two ranks returned for each case: the quick ones run together, and the others when one is asked for.

    Args:
        function: (cases, *arguments) -> results by case; importable.
    """

    def __init__(
        self, function: Callable[..., Any], cases: Sequence[Any], quick: Collection[Any], folder: Path, *arguments: Any
    ) -> None:
        self._function = function
        self._groups = [[case for case in cases if (case in quick) == wanted] for wanted in (True, False)]
        self._folder = folder
        self._arguments = arguments
        self._found: dict[Any, list[Any]] = {}

    def __getitem__(self, case: Any) -> list[Any]:
        """The results of `case` by rank."""
        if case not in self._found:
            group = next(group for group in self._groups if case in group)
            folder = self._folder / f"results-{len(self._found)}"
            by_rank = run_ranks(self._function, 2, folder, group, *self._arguments)
            self._found |= {case: [results[case] for results in by_rank] for case in group}
        return self._found[case]


def _rank(
    rank: int,
    function: Callable[..., Any],
    world_size: int,
    port: int,
    folder: str,
    env: dict[str, str],
    arguments: Any,
) -> None:
    os.environ.clear()
    os.environ |= env
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.save(function(*arguments), os.path.join(folder, f"result-{rank}.pt"))
    dist.destroy_process_group()
