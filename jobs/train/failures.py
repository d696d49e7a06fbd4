"""Why an attempt at a training ended early, and whether there is another one."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ray.exceptions import RayActorError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError
from ray.train.v2.api.exceptions import PreemptionError, TrainingFailedError, WorkerGroupError

from data_pipeline.errors import RunError
from jobs.train.coordinator import Location
from rm_core.train_config.config import WorkerGroupConfig

__all__ = ["Budget", "Failure", "failure_of"]

_LOST = (RayActorError, WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What ended one attempt.

    Attributes:
        lost: workers, or the nodes they were on, died or hung; else a worker's own code raised an error.
        ranks: those that are to blame, in order. Where one dies, the others fail too, because its connections break:
            they are not.
        text: what happened, in one line.
    """

    lost: bool
    ranks: tuple[int, ...]
    text: str


def failure_of(error: TrainingFailedError) -> Failure:
    """Read the error of `TorchTrainer.fit`."""
    if isinstance(error, PreemptionError):
        return Failure(lost=True, ranks=tuple(error.preemption_info.preempted_ranks), text="its node was taken away")
    if not isinstance(error, WorkerGroupError):
        return Failure(lost=True, ranks=(), text=_last_line(error))  # the group could not be started
    causes = dict(sorted(error.worker_failures.items()))
    lost = {rank: cause for rank, cause in causes.items() if isinstance(cause, _LOST)}
    blamed = lost or causes
    first = next(iter(blamed.values()), error)
    return Failure(lost=bool(lost), ranks=tuple(blamed), text="its process died" if lost else _last_line(first))


@dataclass
class Budget:
    """How many failures of each kind are left, and which nodes have had too many of them."""

    config: WorkerGroupConfig
    section: str = "train"
    """Of the recipe, for messages."""
    errors: int = 0
    losses: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    """By node id: attempts that a worker's death on this node ended."""

    def spend(self, failure: Failure, locations: Mapping[int, Location]) -> str:
        """Count one failure; returns what to tell the user.

        Args:
            locations: where each rank of the attempt ran.

        Raises:
            RunError: there are no more attempts for failures of this kind.
        """
        if failure.lost:
            self.losses += 1
            self.deaths.update({locations[rank].node for rank in failure.ranks if rank in locations})
        else:
            self.errors += 1
        count, most, key = self._count(lost=failure.lost)
        said = f"{_who(failure, locations)}: {failure.text}"
        if count > most:
            kind = "lost workers" if failure.lost else "failed in a worker's code"
            raise RunError(f"training {kind} {count} times, {self.section}.group.{key} is {most}; the last: {said}")
        return f"{said} ({self.section}.group.{key}: {count} of {most})"

    def excluded(self) -> list[str]:
        """Nodes, by id, that get no worker any more."""
        limit = self.config.exclude_node_after
        return sorted(node for node, deaths in self.deaths.items() if limit and deaths >= limit)

    def _count(self, *, lost: bool) -> tuple[int, int, str]:
        if lost:
            return self.losses, self.config.max_lost_workers, "max_lost_workers"
        return self.errors, self.config.max_failures, "max_failures"


def _who(failure: Failure, locations: Mapping[int, Location]) -> str:
    if not failure.ranks:
        return "the group"
    hosts = sorted({locations[rank].address for rank in failure.ranks if rank in locations})
    ranks = ", ".join(map(str, failure.ranks))
    return f"rank{'s' if len(failure.ranks) > 1 else ''} {ranks}" + (f" on {', '.join(hosts)}" if hosts else "")


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
