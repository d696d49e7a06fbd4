"""Ray for commands: open the recipe's cluster, and map a function over items with a bounded number under way."""

import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from cluster.session import ClusterInfo, ClusterUnavailable, StartFailed, dead_process, ray_session
from data_pipeline.errors import BaserewardError, MissingInput, NoSpace, RunError, UserError
from data_pipeline.pipeline import Outcome
from jobs.recipe.schema import ClusterConfig
from jobs.runtime import PACKAGES
from jobs.runtime.ends import ending_with
from jobs.runtime.termination import uninterrupted

__all__ = ["largest_node_memory", "map_bounded", "open_cluster", "ray_errors"]

Item = TypeVar("Item")
Context = TypeVar("Context")
Result = TypeVar("Result")

_DEATHS = 3
_DIED = (
    f"the worker process, or its node, died {_DEATHS + 1} times over, most likely out of memory: "
    "lower preprocess.workers or preprocess.shard_bytes, or give the nodes more memory"
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def open_cluster(
    config: ClusterConfig, env: dict[str, str] | None = None, *, opened: ClusterInfo | None = None
) -> Iterator[ClusterInfo]:
    """The cluster that the recipe asks for, for the length of the block; a cluster already open is used and left open.

    Args:
        env: environment variables of its workers.
        opened: the cluster that this process is part of, where another process opened it.

    Raises:
        MissingInput: nothing answers at `config.address`.
        RunError: no cluster could be started on this machine.
    """
    if opened is not None or ray.is_initialized():
        yield opened or _OPEN[-1]
        return
    session = ray_session(
        config.address,
        num_cpus=config.num_cpus,
        dashboard_port=config.dashboard_port,
        packages=PACKAGES,
        env=env,
        device=config.device.value,
    )
    try:
        info = session.__enter__()
    except ClusterUnavailable as error:
        raise MissingInput(str(error)) from error
    except StartFailed as error:
        raise RunError(str(error)) from error
    _OPEN.append(info)
    try:
        with ending_with(dead_process):
            yield info
    finally:
        _OPEN.pop()
        with uninterrupted():
            session.__exit__(None, None, None)


_OPEN: list[ClusterInfo] = []  # the demo opens one cluster around several commands


@contextmanager
def ray_errors(when_it_died: str) -> Iterator[None]:
    """Errors of remote work as a command reports them: ours as they were raised, without the remote traceback.

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


def map_bounded(
    function: Callable[[Item, Context], Result],
    items: Sequence[Item],
    context: Context,
    *,
    limit: int,
    retries: int = 0,
    memory_bytes: int = 0,
) -> Generator[Outcome[Item, Result]]:
    """`function(item, context)` of every item as Ray tasks of one CPU, spread over the nodes, in the order they end.

    A task whose process or node dies is started again by Ray. One that raises comes again behind all others, up to
    `retries` times; then its failure is its outcome. What makes going on useless is raised at once. Close the
    generator (`contextlib.closing`) to cancel what is under way.

    Args:
        function: one that worker processes can import by its name.
        context: sent to each node once.
        limit: tasks under way at once.
        memory_bytes: what Ray sets aside for each task, so that a node takes no more of them than it can hold.

    Raises:
        UserError: as a task raised it.
        NoSpace: as a task raised it.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}: at least one item has to be under way")
    options: dict[str, Any] = {"num_cpus": 1, "max_retries": _DEATHS, "scheduling_strategy": "SPREAD"}
    if memory_bytes:
        options["memory"] = memory_bytes
    task: Any = ray.remote(**options)(function)  # Ray's types know no generic tasks
    shared = ray.put(context)
    waiting = deque((item, 1) for item in items)
    under_way: dict[Any, tuple[Item, int]] = {}
    try:
        while waiting or under_way:
            while waiting and len(under_way) < limit:
                item, attempt = waiting.popleft()
                under_way[task.remote(item, shared)] = (item, attempt)
            [done], _ = ray.wait(list(under_way), num_returns=1)
            item, attempt = under_way.pop(done)
            outcome = _outcome(done, item, attempt)
            if outcome.failure is not None and outcome.failure != _DIED and attempt <= retries:
                waiting.append((item, attempt + 1))
            else:
                yield outcome
    finally:
        for reference in under_way:
            ray.cancel(reference, force=True)


def largest_node_memory() -> int:
    """Bytes that Ray may set aside for tasks on the open cluster's largest node."""
    return max((int(node["Resources"].get("memory", 0)) for node in ray.nodes() if node["Alive"]), default=0)


def _outcome(reference: Any, item: Item, attempt: int) -> Outcome[Item, Any]:
    try:
        return Outcome(item=item, result=ray.get(reference), attempts=attempt)
    except RayTaskError as error:
        if isinstance(error.cause, UserError | NoSpace):
            raise error.cause from None
        return Outcome(item=item, failure=_COLOURS.sub("", str(error)).strip(), attempts=attempt)
    except (WorkerCrashedError, NodeDiedError, OutOfMemoryError):
        return Outcome(item=item, failure=_DIED, attempts=attempt)
