"""What a recipe may say about the group of workers: how it is placed, and what happens when one is lost."""

from dataclasses import dataclass, field

from data_pipeline.bounds import bounded
from data_pipeline.errors import RecipeError

__all__ = ["WorkerGroupConfig", "check_min_workers"]


@dataclass(kw_only=True)
class WorkerGroupConfig:
    """Placement of the workers, and how often the group is started again."""

    min_workers: int | None = bounded(None, at_least=1)
    """Fewest workers to go on with while nodes are missing; the group grows back to ``num_workers`` when they return.
    Unset: always ``num_workers``."""
    accelerator: str | None = None
    """The only type of GPU to take, as Ray names it, for example H100 or A100-80G; unset: any."""
    exclude_nodes: list[str] = field(default_factory=list)
    """Nodes that get no worker: their addresses or Ray's ids of them."""
    exclude_node_after: int = bounded(2, at_least=0)
    """A node on which workers died so many times gets none any more; 0: it always may."""
    start_timeout_s: float = bounded(600.0, above=0)
    """Seconds to wait for room for the workers, at the start and after a loss; a cluster may add nodes meanwhile."""
    watch_s: float = bounded(10.0, above=0)
    """Seconds between two looks at the cluster: for nodes that are about to be taken away, and for room to grow."""
    max_failures: int = bounded(3, at_least=0)
    """Times the group is started again from its last checkpoint after an error in a worker's own code."""
    max_lost_workers: int = bounded(20, at_least=0)
    """Times it is started again after workers or their nodes died, or hung: more often, as on spot machines."""


def check_min_workers(config: WorkerGroupConfig, num_workers: int) -> None:
    """Refuse a group whose smallest size is above its full one.

    Raises:
        RecipeError: names both keys with their values.
    """
    least = config.min_workers
    if least is not None and least > num_workers:
        raise RecipeError(f"train.group.min_workers={least} must be 1 to train.num_workers={num_workers}")
