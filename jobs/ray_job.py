"""The verbs' way to Ray: open the recipe's cluster, and map a function over items with a bounded number under way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError, RayTaskError, WorkerCrashedError

from cluster.session import ClusterInfo, ClusterUnavailable, ray_session
from data_pipeline.errors import BaserewardError, MissingInput, RunError
from jobs.config import ClusterConfig

__all__ = ["PACKAGES", "map_bounded", "open_cluster", "ray_errors"]

Item = TypeVar("Item")
Result = TypeVar("Result")

PACKAGES = ("data_pipeline", "rm_core", "cluster", "jobs")


@contextmanager
def open_cluster(config: ClusterConfig, env: dict[str, str] | None = None) -> Iterator[ClusterInfo]:
    """The cluster that the recipe asks for, for the length of the block; a cluster already open is used and left open.

    Raises:
        MissingInput: nothing answers at `config.address`.
    """
    if ray.is_initialized():
        yield _OPEN[-1]
        return
    session = ray_session(
        config.address, num_cpus=config.num_cpus, dashboard_port=config.dashboard_port, packages=PACKAGES, env=env
    )
    try:
        info = session.__enter__()
    except ClusterUnavailable as error:
        raise MissingInput(str(error)) from error
    _OPEN.append(info)
    try:
        yield info
    finally:
        _OPEN.pop()
        session.__exit__(None, None, None)


_OPEN: list[ClusterInfo] = []  # the demo opens one cluster around several verbs


@contextmanager
def ray_errors(when_it_died: str) -> Iterator[None]:
    """Errors of remote work as a verb reports them: ours as they were raised, without the remote traceback.

    Raises:
        BaserewardError: as the task or actor raised it.
        RunError: its process died; says `when_it_died`.
    """
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, BaserewardError):
            raise error.cause from None
        raise
    except (WorkerCrashedError, RayActorError) as error:
        raise RunError(when_it_died) from error


def map_bounded(function: Callable[[Item], Result], items: Sequence[Item], *, limit: int) -> Iterator[Result]:
    """`function` of every item as Ray tasks of one CPU each, `limit` under way at once, in the order they end.

    Raises:
        BaserewardError: as the task raised it, without the remote traceback.
        RunError: a task's process died more often than Ray retries it.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}: at least one item has to be under way")
    task: Any = ray.remote(num_cpus=1, max_retries=3)(_call)  # Ray's types know no generic tasks
    waiting = iter(items)
    under_way = [task.remote(function, item) for item in islice(waiting, limit)]
    while under_way:
        [done], under_way = ray.wait(under_way, num_returns=1)
        under_way += [task.remote(function, item) for item in islice(waiting, 1)]
        with ray_errors(
            "a worker process died four times over, most likely out of memory: lower the number of workers"
        ):
            result: Result = ray.get(done)
        yield result


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    """The task: Ray takes a plain function, not a partial."""
    return function(item)
