"""A trial that waits to be evaluated, on a cluster that gave its nodes back and grows when it is asked to."""

from types import SimpleNamespace

import pytest

from cluster.capacity import Node
from jobs.runtime.termination import Terminated
from jobs.sweep import trial_work

NEED = {"CPU": 1.0}


class Cluster:
    """Has a node of four CPUs once it is asked twice for room, as Ray may lose a wish; keeps what it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, grows: bool = True) -> None:
        self.asked: list[int] = []
        self._grows = grows
        monkeypatch.setattr(trial_work, "ASK_S", 0.0)
        monkeypatch.setattr(trial_work, "POLL_S", 0.0)
        monkeypatch.setattr(trial_work, "reserve", lambda _need, count: self.asked.append(count))
        monkeypatch.setattr(trial_work, "list_nodes", self.nodes)

    def nodes(self) -> list[Node]:
        if not (self._grows and len(self.asked) >= 2):
            return []
        return [Node(id="1", address="a", alive=True, draining=False, total={"CPU": 4}, free={"CPU": 4})]


def waiting(queue: list[bool], stop_reason: str | None = None) -> trial_work.TrialWork:
    made: trial_work.TrialWork = object.__new__(trial_work.TrialWork)
    made._queue = SimpleNamespace(is_first=lambda: queue.pop(0) if queue else True)  # type: ignore[assignment]
    made.stop_reason = stop_reason
    return made


def test_room_is_asked_for_in_its_turn_and_the_wish_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)
    queue = [False, False]
    assert waiting(queue)._wait_for_room(NEED) == 4
    assert cluster.asked == [1, 1, 0] and queue == []


def test_a_trial_that_is_asked_to_stop_leaves_no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, grows=False)
    with pytest.raises(Terminated):
        waiting([True], stop_reason="SIGTERM")._wait_for_room(NEED)
    assert cluster.asked == [1, 0]
