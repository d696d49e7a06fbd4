"""A function on several ranks of this machine."""

import socket
from collections.abc import Callable
from typing import Any

from torch import multiprocessing

__all__ = ["run_ranks"]


def run_ranks(function: Callable[..., None], world_size: int, *arguments: Any) -> None:
    """`function(rank, world_size, port, *arguments)` in a process each; it must be importable.

    The processes end without Python's clearing up (as those of a fork server do): threads of libraries that still run
    then have ended one with SIGABRT.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.start_processes(  # type: ignore[attr-defined, no-untyped-call]
        function, args=(world_size, port, *arguments), nprocs=world_size, start_method="forkserver"
    )
