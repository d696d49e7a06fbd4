"""What a recipe may say about the group of workers: how it is placed, and what happens when one is lost."""

from dataclasses import dataclass, field

from data_pipeline.errors import RecipeError

__all__ = ["WorkerGroupConfig", "check_group"]


@dataclass(kw_only=True)
class WorkerGroupConfig:
    """Placement of the workers, and how often the group is started again."""

    min_workers: int | None = None
    """Fewest workers to go on with while nodes are missing; the group grows back to ``num_workers`` when they return.
    Unset: always ``num_workers``."""
    accelerator: str | None = None
    """The only type of GPU to take, as Ray names it, for example H100 or A100-80G; unset: any."""
    exclude_nodes: list[str] = field(default_factory=list)
    """Nodes that get no worker: their addresses or Ray's ids of them."""
    exclude_node_after: int = 2
    """A node on which workers died so many times gets none any more; 0: it always may."""
    start_timeout_s: float = 600.0
    """Seconds to wait for room for the workers, at the start and after a loss; a cluster may add nodes meanwhile."""
    watch_s: float = 10.0
    """Seconds between two looks at the cluster: for nodes that are about to be taken away, and for room to grow."""
    max_failures: int = 3
    """Times the group is started again from its last checkpoint after an error in a worker's own code."""
    max_lost_workers: int = 20
    """Times it is started again after workers or their nodes died, or hung: more often, as on spot machines."""


def check_group(config: WorkerGroupConfig, num_workers: int) -> None:
    """Refuse a group that cannot be.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    least = config.min_workers
    if least is not None and not 1 <= least <= num_workers:
        raise RecipeError(f"train.group.min_workers={least} must be 1 to train.num_workers={num_workers}")
    for key in ("exclude_node_after", "max_failures", "max_lost_workers"):
        if getattr(config, key) < 0:
            raise RecipeError(f"train.group.{key}={getattr(config, key)} must be at least 0")
    for key in ("start_timeout_s", "watch_s"):
        if getattr(config, key) <= 0:
            raise RecipeError(f"train.group.{key}={getattr(config, key)} must be above 0")
