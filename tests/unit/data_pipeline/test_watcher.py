"""A function that is called beside the work."""

import threading

from data_pipeline.watcher import watching


def test_it_looks_while_the_block_runs_and_once_at_its_end() -> None:
    looked = threading.Event()
    calls: list[str] = []

    def look() -> None:
        calls.append(threading.current_thread().name)
        looked.set()

    with watching(look, every_s=0.001, name="progress", at_end=True):
        assert looked.wait(10)
        looked.clear()
    assert looked.is_set(), "what happened since the last call is seen too"
    assert set(calls) == {"progress"}
    assert "progress" not in {thread.name for thread in threading.enumerate()}, "it has ended with the block"


def test_without_a_last_look_a_short_block_has_none() -> None:
    calls: list[str] = []
    with watching(lambda: calls.append("look"), every_s=60, name="nodes", begin=lambda: calls.append("begin")):
        pass
    assert calls == ["begin"]


def test_it_ends_when_there_is_nothing_more_to_look_for() -> None:
    calls: list[int] = []

    def look() -> bool:
        calls.append(len(calls))
        return len(calls) == 2

    with watching(look, every_s=0.001, name="cluster", at_end=True):
        threading.Event().wait(0.1)
    assert calls == [0, 1]


def test_its_error_ends_the_watching_and_not_the_work() -> None:
    failed = threading.Event()
    hook = threading.excepthook
    seen: list[BaseException | None] = []

    def note(failure: threading.ExceptHookArgs) -> None:
        seen.append(failure.exc_value)
        failed.set()

    def look() -> None:
        raise OSError("the disk is full")

    threading.excepthook = note
    try:
        with watching(look, every_s=0.001, name="attempts"):
            assert failed.wait(10)
    finally:
        threading.excepthook = hook
    assert [str(one) for one in seen] == ["the disk is full"]
