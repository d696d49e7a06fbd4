"""Run a function on several CPU ranks (gloo) and bring back what each returned."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing


def run_ranks(function: Callable[..., Any], world_size: int, folder: Path, *arguments: Any) -> list[Any]:
    """`function(*arguments)` on every rank with `torch.distributed` ready; the results by rank.

    `function` must be importable. A rank that raises fails the test with its traceback.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_rank, args=(function, world_size, port, str(folder), arguments), nprocs=world_size)
    return [torch.load(folder / f"result-{rank}.pt", weights_only=False) for rank in range(world_size)]


def _rank(rank: int, function: Callable[..., Any], world_size: int, port: int, folder: str, arguments: Any) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.save(function(*arguments), os.path.join(folder, f"result-{rank}.pt"))
    dist.destroy_process_group()
