"""How many workers the open cluster has room for, what it may grow to, which nodes come, and which are about to go."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray._private.state import state as gcs  # what is free on each node, and what drains, has no public call

from cluster.render.common import MAX_CPUS_LABEL, MAX_GPUS_LABEL

__all__ = ["Node", "cpus_at_most", "gpus_at_most", "launches", "list_nodes", "reserve", "room_for"]

_MAX_REASON_CHARS = 300


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


def cpus_at_most() -> int:
    """The CPUs of the open cluster, or those that it may grow to: a cluster scaled down to its head has none now."""
    return _at_most("CPU", MAX_CPUS_LABEL)


def gpus_at_most() -> int:
    """The GPUs of the open cluster, or those that it may grow to."""
    return _at_most("GPU", MAX_GPUS_LABEL)


def _at_most(resource: str, label: str) -> int:
    alive = [entry for entry in ray.nodes() if entry["Alive"]]
    here = sum(entry["Resources"].get(resource, 0) for entry in alive)
    return max(int(here), *(int(entry["Labels"].get(label, 0)) for entry in alive))


def reserve(need: Mapping[str, float], count: int) -> None:
    """Ask the cluster's autoscaler, where there is one, for room for `count` workers; 0 takes the wish back.

    A wish has to be repeated while it lasts: the cluster has one for all, and an actor that Ray Train leaves behind
    replaces it every 20 seconds with that of its own trainings, which is empty after their end.
    """
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[dict(need)] * count)


def launches() -> str:
    """What the cluster's autoscaler is about, and where it failed, in words; "" where there is none."""
    from ray.autoscaler.v2.sdk import get_cluster_status

    return _in_words(get_cluster_status(ray.get_runtime_context().gcs_address))


def _in_words(status: Any) -> str:
    """Machines that are asked for or start, and the newest failure of a launch or of a node."""
    said = [f"{one.count} x {one.ray_node_type_name} asked for" for one in status.pending_launches]
    starting = Counter(one.ray_node_type_name for one in status.pending_nodes)
    said += [f"{count} x {kind} starting" for kind, count in sorted(starting.items())]
    if status.failed_launches:
        last = max(status.failed_launches, key=lambda one: one.failed_ts_s or one.request_ts_s)
        why = (last.details or "no reason given").strip().splitlines()[0][:_MAX_REASON_CHARS]
        said.append(f"a launch of {last.count} x {last.ray_node_type_name} failed: {why}")
    return ", ".join(said)
