"""What the user sees: a line, a table, a progress bar that is a plain line now and then where there is no terminal."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

__all__ = ["progress", "say", "table"]

PLAIN_INTERVAL_S = 10.0

Advance = Callable[[int, str], None]
"""``advance(done, note)``: so many of the total are done by now; `note` is shown behind the bar."""


def say(text: str) -> None:
    """One line for the user."""
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


def table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """A small two-column table: what, value."""
    say(title)
    grid = Table(show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", overflow="fold")
    for name, value in rows:
        grid.add_row(name, value)
    _console().print(grid)


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Show how much of `total` is done.

    Yields:
        ``advance(done, note)``, to be called with the running count, not with increments.
    """
    console = _console()
    if not console.is_terminal:
        yield _plain(title, total)
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)


def _plain(title: str, total: int) -> Advance:
    last_s = time.monotonic() - PLAIN_INTERVAL_S  # the first call shows a line at once
    shown = -1

    def advance(done: int, note: str) -> None:
        nonlocal last_s, shown
        if done != shown and (done >= total or time.monotonic() - last_s >= PLAIN_INTERVAL_S):
            last_s, shown = time.monotonic(), done
            say(f"{title}: {done} of {total}{f', {note}' if note else ''}")

    return advance


def _console() -> Console:
    return Console(width=None)  # made anew, so that it follows a redirected stdout
