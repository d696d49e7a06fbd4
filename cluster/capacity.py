"""How many workers the open cluster has room for, what it may grow to, and which of its nodes are about to go."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import ray
from ray._private.state import state as gcs  # what is free on each node, and what drains, has no public call

from cluster.render.common import MAX_GPUS_LABEL

__all__ = ["Node", "gpus_at_most", "list_nodes", "reserve", "room_for"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node of the cluster, dead or alive."""

    id: str
    """Ray's id: a node that comes back has another one, and the address it had."""
    address: str
    alive: bool
    draining: bool
    """It is about to end, by an autoscaler or because a spot machine is taken away: nothing new is placed on it."""
    total: Mapping[str, float]
    """Resources by name; ``accelerator_type:H100`` says what its GPUs are."""
    free: Mapping[str, float]
    """What of them nobody has taken."""

    def holds(self, need: Mapping[str, float]) -> int:
        """How many times `need` fits into what is free.

        >>> node = Node(id="1", address="a", alive=True, draining=False, total={}, free={"CPU": 5, "GPU": 2})
        >>> node.holds({"CPU": 2}), node.holds({"CPU": 1, "GPU": 1}), node.holds({"TPU": 1})
        (2, 2, 0)
        """
        return int(min(self.free.get(name, 0.0) / amount for name, amount in need.items() if amount > 0))


def list_nodes() -> list[Node]:
    """All nodes that the open cluster knows of, in the order of their addresses."""
    free, draining = gcs.available_resources_per_node(), gcs.get_draining_nodes()
    nodes = [
        Node(
            id=entry["NodeID"],
            address=entry["NodeManagerAddress"],
            alive=entry["Alive"],
            draining=entry["NodeID"] in draining,
            total=entry["Resources"],
            free=free.get(entry["NodeID"], {}) if entry["Alive"] else {},
        )
        for entry in ray.nodes()
    ]
    return sorted(nodes, key=lambda node: (node.address, node.id))


def room_for(need: Mapping[str, float], nodes: Sequence[Node], avoid: Collection[str] = ()) -> int:
    """How many workers of `need` resources each can start now, on nodes that stay and are not to be avoided.

    Args:
        avoid: ids or addresses of nodes.
    """
    usable = [node for node in nodes if node.alive and not node.draining and not {node.id, node.address} & set(avoid)]
    return sum(node.holds(need) for node in usable)


def gpus_at_most() -> int:
    """The GPUs of the open cluster, or those that it may grow to: a cluster scaled down to its head has none now."""
    alive = [entry for entry in ray.nodes() if entry["Alive"]]
    here = sum(entry["Resources"].get("GPU", 0) for entry in alive)
    return max(int(here), *(int(entry["Labels"].get(MAX_GPUS_LABEL, 0)) for entry in alive))


def reserve(need: Mapping[str, float], count: int) -> None:
    """Ask the cluster's autoscaler, where there is one, for room for `count` workers; 0 takes the wish back."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[dict(need)] * count)
