"""Why an attempt ended, how often another one follows, and how many workers have room."""

from typing import Any

import pytest
from ray.exceptions import ActorDiedError
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError, WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, PreemptionError, WorkerGroupError
from ray.train.v2.api.preemption import PreemptionInfo

from cluster.capacity import Node, room_for
from data_pipeline.errors import RecipeError, RunError
from jobs.train import attempts
from jobs.train.attempts import _reason_to_move
from jobs.train.coordinator import Coordinator, Location
from jobs.train.failures import Budget, Failure, failure_of
from jobs.train.rank import TrainJob
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig, WorkerGroupConfig, ZeroConfig

LOCATIONS = {0: Location(node="n0", address="10.0.0.1"), 1: Location(node="n1", address="10.0.0.2")}
DEATH = Failure(lost=True, ranks=(1,), text="its process died")
ERROR = Failure(lost=False, ranks=(0,), text="ZeroDivisionError: division by zero")


def node(name: str, *, alive: bool = True, draining: bool = False, **free: float) -> Node:
    return Node(id=name, address=f"address-{name}", alive=alive, draining=draining, total=free, free=free)


def test_a_death_is_to_blame_for_the_broken_connections_of_the_others() -> None:
    causes = {0: RuntimeError("Connection closed by peer"), 1: WorkerHealthCheckFailedError("poll", ActorDiedError())}
    assert failure_of(WorkerGroupError("both", causes)) == DEATH


def test_without_a_death_the_error_of_a_worker_is_to_blame() -> None:
    failure = failure_of(WorkerGroupError("both", {1: RuntimeError("reset"), 0: ValueError("first\nlast line")}))
    assert failure == Failure(lost=False, ranks=(0, 1), text="last line")


def test_a_node_taken_away_and_a_group_that_was_not_placed_are_losses() -> None:
    taken = failure_of(PreemptionError(PreemptionInfo(deadline_ms=None, preempted_node_to_ranks={"n": [3, 1]})))
    assert taken.lost and taken.ranks == (1, 3)
    unplaced = failure_of(ControllerError(WorkerGroupStartupTimeoutError(4)))
    assert unplaced.lost and unplaced.ranks == ()


def test_losses_and_errors_have_budgets_of_their_own() -> None:
    budget = Budget(WorkerGroupConfig(max_failures=1, max_lost_workers=2))
    assert "train.group.max_lost_workers: 1 of 2" in budget.spend(DEATH, LOCATIONS)
    assert budget.spend(ERROR, LOCATIONS) == (
        "rank 0 on 10.0.0.1: ZeroDivisionError: division by zero (train.group.max_failures: 1 of 1)"
    )
    assert "train.group.max_lost_workers: 2 of 2" in budget.spend(DEATH, LOCATIONS)
    with pytest.raises(RunError, match=r"lost workers 3 times, train\.group\.max_lost_workers is 2; .*10\.0\.0\.2"):
        budget.spend(DEATH, LOCATIONS)
    with pytest.raises(RunError, match=r"code 2 times, train\.group\.max_failures is 1; .*ZeroDivisionError"):
        budget.spend(ERROR, LOCATIONS)


def test_a_node_is_excluded_after_so_many_deaths_of_workers_on_it() -> None:
    budget = Budget(WorkerGroupConfig(exclude_node_after=2))
    budget.spend(DEATH, LOCATIONS)
    budget.spend(ERROR, LOCATIONS)
    assert budget.excluded() == []
    budget.spend(DEATH, LOCATIONS)
    assert budget.excluded() == ["n1"]
    assert Budget(WorkerGroupConfig(exclude_node_after=0), deaths=budget.deaths).excluded() == []


def test_room_is_what_living_staying_wanted_nodes_have_free() -> None:
    need = {"CPU": 2.0, "GPU": 1.0}
    nodes = [
        node("a", CPU=8, GPU=2),
        node("b", CPU=3, GPU=8),
        node("c", CPU=8),
        node("dead", alive=False, CPU=8, GPU=8),
        node("going", draining=True, CPU=8, GPU=8),
        node("bad", CPU=8, GPU=8),
        node("named", CPU=8, GPU=8),
    ]
    assert room_for(need, nodes, ["bad", "address-named"]) == 2 + 1
    assert room_for(need | {"accelerator_type:H100": 0.001}, nodes) == 0


def test_the_coordinator_keeps_what_is_said_over_attempts_but_not_where_they_ran() -> None:
    coordinator = Coordinator()
    coordinator.new_attempt(2)
    assert coordinator.begin(0, LOCATIONS[0]) is None
    coordinator.restart("a node goes")
    coordinator.restart("there is room")
    assert coordinator.should_stop() and coordinator.read().restart_reason == "a node goes"
    coordinator.new_attempt(2)
    assert not coordinator.should_stop() and not coordinator.read().locations
    coordinator.stop("SIGTERM")
    coordinator.new_attempt(2)
    assert coordinator.should_stop()
    coordinator.fail("for good")
    assert coordinator.begin(0, LOCATIONS[0]) == "for good"


def test_a_group_that_still_loads_is_not_moved() -> None:
    """In no attempt: with no cluster here, a look at its nodes would be an error."""
    coordinator = Coordinator()
    for steps_done in (0, 10):
        coordinator.new_attempt(2)
        for rank, location in LOCATIONS.items():
            coordinator.begin(rank, location)
        assert not coordinator.read().is_training
        assert _reason_to_move(None, coordinator.read(), 2, []) is None  # type: ignore[arg-type]
        coordinator.started(steps_done)
        assert coordinator.read().is_training
    assert coordinator.read().resumed_from == [0, 10]


@pytest.mark.parametrize(
    ("free", "grows"), [(1, None), (2, "there is room for 4 workers now"), (5, "for 6 workers now")]
)
def test_a_group_grows_by_whole_groups_that_share_a_copy(
    free: int, grows: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would start again in the size that it has, for ever."""
    monkeypatch.setattr(attempts, "list_nodes", lambda: [node("a", CPU=free)])
    coordinator = Coordinator()
    coordinator.new_attempt(2)
    for rank, location in LOCATIONS.items():
        coordinator.begin(rank, location)
    coordinator.started(0)
    config = TrainConfig(engine="fsdp", num_workers=6, zero=ZeroConfig(shard_size=2))
    anywhere: Any = None
    job = TrainJob(config=config, export_to="", lineage={}, run=anywhere, use_gpu=False)
    reason = _reason_to_move(job, coordinator.read(), 2, [])
    assert reason is None if grows is None else reason is not None and grows in reason


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"min_workers": 5}, r"train\.group\.min_workers=5 must be 1 to train\.num_workers=2"),
        ({"min_workers": 0}, r"train\.group\.min_workers=0"),
        ({"max_lost_workers": -1}, r"train\.group\.max_lost_workers=-1 must be at least 0"),
        ({"start_timeout_s": 0}, r"train\.group\.start_timeout_s=0 must be above 0"),
    ],
)
def test_a_group_that_cannot_be_is_refused(group: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_train_config(TrainConfig(group=WorkerGroupConfig(**group)))
