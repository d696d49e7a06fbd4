"""Trials take turns in looking for room; what they keep outlives them."""

from pathlib import Path

from jobs.sweep.placement import PlacingQueue, SweepBoard
from jobs.sweep.trial import early_reason
from jobs.sweep.trial_files import TrialLog, WorkerHours


def test_the_next_trial_looks_for_room_when_the_one_before_is_placed() -> None:
    queue = PlacingQueue()
    assert queue.mine("large")
    assert not queue.mine("small") and not queue.mine("later")
    assert queue.mine("large"), "asking again keeps its place"
    queue.placed("large")
    assert queue.mine("small") and not queue.mine("later")
    assert queue.crowded("small") and not queue.crowded("large")


def test_a_trial_that_gives_up_or_dies_holds_nobody_up() -> None:
    queue = PlacingQueue()
    assert queue.mine("first") and not queue.mine("second")
    queue.leave("first")
    assert queue.mine("second") and not queue.mine("third")
    queue.placed("second")
    queue.leave("second")
    assert not queue.crowded("third") and queue.mine("third")
    queue.placed("nobody")
    queue.leave("nobody")
    assert queue.mine("third")


def test_a_trial_that_starts_again_goes_behind_those_that_wait() -> None:
    queue = PlacingQueue()
    assert queue.mine("first")
    queue.placed("first")
    assert queue.mine("second")
    assert not queue.mine("first")
    assert not queue.crowded("second"), "what it held is free while it waits"


def test_a_board_says_once_why_a_trial_failed() -> None:
    board = SweepBoard()
    board.fail("a", "RunError: x")
    assert (board.failure("a"), board.failure("a"), board.failure("b")) == ("RunError: x", None, None)
    assert board.ends() is None
    board.end("SIGTERM")
    board.end("another reason")
    assert board.ends() == "SIGTERM"


def test_hours_and_words_of_every_attempt_are_kept(tmp_path: Path) -> None:
    for _ in range(2):
        hours, log = WorkerHours(str(tmp_path / "hours.json")), TrialLog(str(tmp_path / "log.txt"))
        hours.add(8, 1800)
        print("again", file=log.text)
        hours.keep()
        log.keep(now=True)
    assert WorkerHours(str(tmp_path / "hours.json")).hours == 2 * 8 * 0.5
    assert (tmp_path / "log.txt").read_text() == "again\nagain\n"
    print("too early", file=log.text)
    log.keep()
    assert (tmp_path / "log.txt").read_text() == "again\nagain\n"


def test_why_a_trial_was_ended_early_has_its_number() -> None:
    result = {"step": 40, "num_steps": 900, "loss": 0.70123}
    assert early_reason(result, 3.0) == (
        "stopped early after step 40 of 900: its loss of 0.7012 was not among the best 1 in 3"
    )
    assert early_reason({"step": 1, "num_steps": 2}, 3.0) == "stopped early after step 1 of 2"
