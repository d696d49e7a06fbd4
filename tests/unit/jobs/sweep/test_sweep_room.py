"""A trial that waits to be evaluated, on a cluster that gave its nodes back and grows when it is asked to."""

from types import SimpleNamespace

import pytest

from cluster.capacity import Node
from jobs.runtime.termination import Terminated
from jobs.sweep import trial

NEED = {"CPU": 1.0}


class Cluster:
    """Has a node of four CPUs once it is asked for room; keeps what it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, grows: bool = True) -> None:
        self.asked: list[int] = []
        self._grows = grows
        monkeypatch.setattr(trial, "ASK_S", 0.0)
        monkeypatch.setattr(trial, "POLL_S", 0.0)
        monkeypatch.setattr(trial, "reserve", lambda _need, count: self.asked.append(count))
        monkeypatch.setattr(trial, "list_nodes", self.nodes)

    def nodes(self) -> list[Node]:
        if not (self._grows and self.asked):
            return []
        return [Node(id="1", address="a", alive=True, draining=False, total={"CPU": 4}, free={"CPU": 4})]


def waiting(turns: list[bool], ends: str | None = None) -> trial.SweepTrial:
    made: trial.SweepTrial = object.__new__(trial.SweepTrial)
    made._turns = SimpleNamespace(mine=lambda: turns.pop(0) if turns else True)  # type: ignore[assignment]
    made._ends = ends
    return made


def test_room_is_asked_for_in_its_turn_and_the_wish_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)
    turns = [False, False]
    assert waiting(turns)._room(NEED) == 4
    assert cluster.asked == [1, 0] and turns == []


def test_a_trial_that_is_told_to_end_leaves_no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, grows=False)
    with pytest.raises(Terminated):
        waiting([True], ends="SIGTERM")._room(NEED)
    assert cluster.asked == [1, 0]
