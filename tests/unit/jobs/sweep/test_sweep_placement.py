"""Trials look for room one after the other; what they write outlives them."""

from pathlib import Path

from jobs.sweep.placement import SweepCoordinator, TrialQueue
from jobs.sweep.trial import early_reason
from jobs.sweep.trial_files import TrialLog, WorkerHours


def test_the_next_trial_looks_for_room_when_the_one_before_is_placed() -> None:
    queue = TrialQueue()
    assert queue.is_first("large")
    assert not queue.is_first("small") and not queue.is_first("later")
    assert queue.is_first("large"), "asking again keeps its place"
    queue.placed("large")
    assert queue.is_first("small") and not queue.is_first("later")
    assert queue.others_placed("small") and not queue.others_placed("large")


def test_a_trial_that_gives_up_or_dies_holds_nobody_up() -> None:
    queue = TrialQueue()
    assert queue.is_first("first") and not queue.is_first("second")
    queue.leave("first")
    assert queue.is_first("second") and not queue.is_first("third")
    queue.placed("second")
    queue.leave("second")
    assert not queue.others_placed("third") and queue.is_first("third")
    queue.placed("nobody")
    queue.leave("nobody")
    assert queue.is_first("third")


def test_a_trial_that_starts_again_goes_behind_those_that_wait() -> None:
    queue = TrialQueue()
    assert queue.is_first("first")
    queue.placed("first")
    assert queue.is_first("second")
    assert not queue.is_first("first")
    assert not queue.others_placed("second"), "what it held is free while it waits"


def test_the_coordinator_says_once_why_a_trial_failed() -> None:
    coordinator = SweepCoordinator()
    coordinator.fail("a", "RunError: x")
    assert (coordinator.failure("a"), coordinator.failure("a"), coordinator.failure("b")) == ("RunError: x", None, None)
    assert coordinator.stop_reason() is None
    coordinator.stop("SIGTERM")
    coordinator.stop("another reason")
    assert coordinator.stop_reason() == "SIGTERM"


def test_hours_and_words_of_every_attempt_are_kept(tmp_path: Path) -> None:
    for _ in range(2):
        hours, log = WorkerHours(str(tmp_path / "hours.json")), TrialLog(str(tmp_path / "log.txt"))
        hours.add(8, 1800)
        print("again", file=log.text)
        hours.flush()
        log.flush(now=True)
    assert WorkerHours(str(tmp_path / "hours.json")).hours == 2 * 8 * 0.5
    assert (tmp_path / "log.txt").read_text() == "again\nagain\n"
    print("too early", file=log.text)
    log.flush()
    assert (tmp_path / "log.txt").read_text() == "again\nagain\n"


def test_why_a_trial_was_ended_early_has_its_number() -> None:
    result = {"step": 40, "num_steps": 900, "loss": 0.70123}
    assert early_reason(result, 3.0) == (
        "stopped early after step 40 of 900: its loss of 0.7012 was not among the best 1 in 3"
    )
    assert early_reason({"step": 1, "num_steps": 2}, 3.0) == "stopped early after step 1 of 2"
