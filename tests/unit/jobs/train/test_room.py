"""A training that waits for its workers: what it says meanwhile, and how it gives up."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.autoscaler.v2.schema import ClusterStatus, LaunchRequest, NodeInfo

from cluster import capacity
from cluster.capacity import Node
from data_pipeline.errors import NoRoom, RunError
from jobs.runtime import ends
from jobs.runtime.termination import Terminated
from jobs.train import room
from rm_core.train_config.config import TrainConfig, WorkerGroupConfig

NEED = {"CPU": 1.0, "GPU": 1.0}
FULL = Node(id="1", address="10.0.0.1", alive=True, draining=False, total={"CPU": 4, "GPU": 2}, free={"CPU": 4})
FREE = Node(id="2", address="10.0.0.2", alive=True, draining=False, total=NEED, free=NEED)


class Cluster:
    """Has the nodes of each second in turn, the last for ever; keeps what it is asked and what is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *nodes: list[Node]) -> None:
        self.now_s = 0.0
        self.asked: list[int] = []
        self.said: list[str] = []
        self._nodes = nodes
        monkeypatch.setattr(room, "needs_of_worker", lambda job: NEED)
        monkeypatch.setattr(room, "list_nodes", lambda: self._nodes[min(int(self.now_s), len(nodes) - 1)])
        monkeypatch.setattr(room, "launches", lambda: "2 x gpu asked for")
        monkeypatch.setattr(room, "reserve", lambda need, count: self.asked.append(count))
        monkeypatch.setattr(room, "say", self.said.append)
        monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: self.now_s, sleep=self._sleep))

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds


def wait(stop_reason: str | None = None, **group: Any) -> int:
    config = TrainConfig(num_workers=2, group=WorkerGroupConfig(**group))
    job: Any = SimpleNamespace(config=config, section="train", together=1)
    return room.wait_for_room(job, [], lambda: stop_reason, room.NoQueue())


def test_a_long_wait_is_told_once_a_minute_and_ends_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, *[[FULL, FREE]] * 130, [FULL, FREE, FREE])
    assert wait() == 2
    assert [line.partition(":")[0] for line in cluster.said] == [
        f"waiting for room, since {second} s" for second in (5, 65, 125)
    ]
    for line in cluster.said:
        assert "2 workers of 1 CPU, 1 GPU each are wanted, there is room for 1" in line
        assert "10.0.0.1 has 4 of 4 CPU free, 0 of 2 GPU free" in line and "the autoscaler: 2 x gpu asked for" in line
    assert set(cluster.asked[:-1]) == {2} and cluster.asked[-1] == 0
    assert len(cluster.asked) == 251, "the wish is repeated at each look: Ray replaces it"


def test_giving_up_has_an_exit_code_that_is_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster(monkeypatch, [FULL])
    with pytest.raises(NoRoom, match=r"no room .*start_timeout_s=1800 s: .*there is room for 0.*2 x gpu asked for"):
        wait()
    assert cluster.asked[-1] == 0 and cluster.now_s == 1800
    assert ends.explained(NoRoom("x")) == 75 and ends.explained(RunError("x")) == 1
    assert capsys.readouterr().err.count("basereward: error: x") == 2


def test_a_short_wait_says_nothing_and_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, *[[FULL]] * 4, [FREE, FREE])
    assert wait() == 2 and cluster.said == [] and cluster.asked == []
    with pytest.raises(Terminated):
        wait(stop_reason="SIGTERM")


def test_fewer_workers_come_in_whole_groups_that_share_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, [FREE] * 7)
    config = TrainConfig(num_workers=8, group=WorkerGroupConfig(min_workers=4))
    job: Any = SimpleNamespace(config=config, section="train", together=4)
    assert room.wait_for_room(job, [], lambda: None, room.NoQueue()) == 4
    said = cluster.said[-1]
    assert said.startswith(
        "going on with 4 of 8 workers: 8 workers of 1 CPU, 1 GPU each are wanted, there is room for 4"
    )
    assert "room for 4 in groups of 4; nodes" in said


def launch(kind: str, count: int, state: LaunchRequest.Status, **more: Any) -> LaunchRequest:
    return LaunchRequest(
        instance_type_name="m", ray_node_type_name=kind, count=count, state=state, request_ts_s=1, **more
    )


def test_what_the_autoscaler_does_in_words() -> None:
    assert capacity._in_words(ClusterStatus()) == ""
    failed = LaunchRequest.Status.FAILED
    status = ClusterStatus(
        pending_launches=[launch("gpu", 3, LaunchRequest.Status.PENDING)],
        pending_nodes=[
            NodeInfo("m", "gpu", "i-1", ""),
            NodeInfo("m", "cpu", "i-2", ""),
            NodeInfo("m", "gpu", "i-3", ""),
        ],
        failed_launches=[
            launch("gpu", 8, failed, failed_ts_s=9, details="InsufficientInstanceCapacity: none left\nmore"),
            launch("cpu", 1, failed, failed_ts_s=2, details="older"),
        ],
    )
    assert capacity._in_words(status) == (
        "3 x gpu asked for, 1 x cpu starting, 2 x gpu starting, a launch of 8 x gpu failed: "
        "InsufficientInstanceCapacity: none left"
    )
