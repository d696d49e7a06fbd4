"""A pool of actors of which some never come: everything is done by those that do, in order."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.evaluate import ready_pool, scoring_actors
from jobs.evaluate.ready_pool import ReadyPool
from jobs.evaluate.scoring_actors import ScoringJob, ScoringPool
from jobs.recipe.schema import ClusterConfig


class Cluster:
    """Stands for Ray: an actor is ready in its turn, or never, and a call ends once it is waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ready: list[str] = []
        self.errors: dict[str, Exception] = {}
        monkeypatch.setattr(ready_pool.ray, "wait", self.wait)
        monkeypatch.setattr(ready_pool.ray, "get", self.get)

    def actor(self, name: str) -> Any:
        class Ready:
            @staticmethod
            def remote() -> str:
                return f"ready {name}"

        class Actor:
            __ray_ready__ = Ready

            def __repr__(self) -> str:
                return name

        return Actor()

    def wait(self, references: list[str], num_returns: int) -> tuple[list[str], list[str]]:
        ended = [one for one in references if not one.startswith("ready") or one.removeprefix("ready ") in self.ready]
        assert ended, f"waits for ever: {references}"
        return [ended[-1]], []  # the newest first, so that calls end out of order

    def get(self, reference: str) -> str:
        if reference in self.errors:
            raise self.errors[reference]
        return reference


def call(number: int, handed: list[tuple[str, int]]) -> Any:
    def start(actor: Any) -> str:
        handed.append((repr(actor), number))
        return f"result {number}"

    return start


def test_an_actor_that_never_starts_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, handed = Cluster(monkeypatch), list[tuple[str, int]]()
    cluster.ready = ["a", "c"]
    pool = ReadyPool([cluster.actor(name) for name in "abc"])
    found = pool.map([call(number, handed) for number in range(7)])
    assert list(found) == [f"result {number}" for number in range(7)]
    assert {name for name, _ in handed} == {"a", "c"} and sorted(number for _, number in handed) == list(range(7))


def test_one_that_comes_later_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, handed = Cluster(monkeypatch), list[tuple[str, int]]()
    cluster.ready = ["a"]
    pool = ReadyPool([cluster.actor(name) for name in "ab"])
    for number in range(6):
        pool.submit(call(number, handed))
    assert pool.get_next() == "result 0"
    cluster.ready.append("b")
    assert [pool.get_next() for _ in range(5)] == [f"result {number}" for number in range(1, 6)]
    assert {name for name, _ in handed} == {"a", "b"}


def test_an_actor_that_cannot_be_made_and_a_call_that_fails_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)
    cluster.ready = ["a"]
    cluster.errors = {"ready a": RuntimeError("no model")}
    pool = ReadyPool([cluster.actor("a")])
    pool.submit(call(0, []))
    with pytest.raises(RuntimeError, match="no model"):
        pool.get_next()
    cluster.errors = {"result 0": RuntimeError("no picture")}
    pool = ReadyPool([cluster.actor("a")])
    pool.submit(call(0, []))
    with pytest.raises(RuntimeError, match="no picture"):
        pool.get_next()


@pytest.mark.parametrize(
    ("chunks", "now", "most", "size"),
    [(0, 0, 0, 1), (1, 0, 64, 1), (4, 0, 64, 1), (5, 0, 64, 2), (1000, 0, 64, 64), (1000, 64, 64, 64), (8, 2, 2, 2)],
)
def test_machines_are_asked_for_where_there_is_work_for_them(chunks: int, now: int, most: int, size: int) -> None:
    assert scoring_actors.num_actors(chunks, now, most) == size


@pytest.mark.parametrize(("gpus", "kind"), [(False, "CPU"), (True, "GPU")])
def test_how_many_work_at_once_is_said_with_its_reason(
    gpus: bool, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, where the cluster has to grow for it."""
    here = {"num_cpus": 0, "max_cpus": 64, "num_gpus": 0, "max_gpus": 64, "on_gpus": gpus}
    monkeypatch.setattr(scoring_actors, "open_cluster", lambda *_, **__: nullcontext(SimpleNamespace(**here)))
    monkeypatch.setattr(scoring_actors.ray, "remote", lambda **_: lambda _: SimpleNamespace(remote=lambda _: object()))
    pool = ScoringPool(ScoringJob(model="model", token_budget=1, patch_budget=1, attention="sdpa"), ClusterConfig())
    assert len(pool._started(40)) == 10
    told = f"up to 10 processes score: the cluster has 0 {kind}s, and may grow to 64\n"
    assert capsys.readouterr().out == told
    assert len(pool._started(40)) == 10 and capsys.readouterr().out == ""
    assert len(pool._started(80)) == 20 and "up to 20 processes" in capsys.readouterr().out
