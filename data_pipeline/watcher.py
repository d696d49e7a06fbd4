"""A function that is called again and again beside the work: to show progress, hold a lease, look at nodes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["watching"]


@contextmanager
def watching(
    look: Callable[[], bool | None],
    *,
    every_s: float,
    name: str,
    at_end: bool = False,
    begin: Callable[[], object] | None = None,
) -> Iterator[None]:
    """In the block, call `look` from a thread every `every_s` seconds; the thread has ended when the block has.

    An error of `look` ends the watching and not the work: Python prints its traceback with the thread's name at once.

    Args:
        look: returns True when there is nothing more to look for.
        name: of the thread.
        at_end: call it once more after the block, for what happened since the last call.
        begin: is called first, in the thread.
    """
    ended = threading.Event()

    def run() -> None:
        if begin is not None:
            begin()
        last = False
        while not last:
            last = ended.wait(every_s)
            if (last and not at_end) or look():
                return

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
