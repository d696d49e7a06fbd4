"""What a cluster has and may grow to; whether a command's workers take GPUs, by that and by what the recipe says."""

from typing import Any

import pytest
import ray

from cluster import session
from cluster.capacity import cpus_at_most, gpus_at_most
from cluster.errors import ClusterUnavailable
from cluster.render.common import MAX_CPUS_LABEL, MAX_GPUS_LABEL


def node(*, alive: bool = True, gpus: int = 0, label: str | None = None) -> dict[str, Any]:
    resources = {"CPU": 1.0} | ({"GPU": float(gpus)} if gpus else {})
    labels = {} if label is None else {MAX_GPUS_LABEL: label, MAX_CPUS_LABEL: str(2 * int(label))}
    return {"Alive": alive, "Resources": resources, "Labels": labels}


@pytest.mark.parametrize(
    ("nodes", "most"),
    [
        ([node()], 0),
        ([node(), node(gpus=4), node(gpus=4)], 8),
        ([node(label="16")], 16),  # a head alone: its autoscaler has given all others back
        ([node(label="16"), node(gpus=8)], 16),
        ([node(label="0"), node(gpus=8), node(gpus=8, alive=False)], 8),
        ([node(), node(label="16", alive=False)], 0),  # an older head
    ],
)
def test_what_a_cluster_may_grow_to(nodes: list[dict[str, Any]], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert gpus_at_most() == most
    assert cpus_at_most() == max(sum(one["Alive"] for one in nodes), 32 if most == 16 else 0)


@pytest.mark.parametrize(
    ("device", "most", "found"),
    [("auto", 0, False), ("auto", 8, True), ("gpu", 8, True), ("cpu", 8, False), ("cpu", 0, False)],
)
def test_the_device_of_the_workers(device: str, most: int, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "gpus_at_most", lambda: most)
    assert session._on_gpus(device) is found


def test_gpus_are_not_waited_for_where_none_can_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "gpus_at_most", lambda: 0)
    with pytest.raises(ClusterUnavailable, match="cluster.device=gpu: this cluster has no GPU"):
        session._on_gpus("gpu")
