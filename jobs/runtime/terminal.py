"""What the user sees: a line, a table, a progress bar that is a plain line now and then where there is no terminal.

Texts may be of records and hold addresses: terminal codes and passwords are taken out of all of them here. A text of
data inside a line of ours passes `shown.one_line` where the line is made, since line breaks are kept here.


A table that would have to break words to fit the terminal is written as lines instead, one paragraph a row: a number or
a path in two halves is neither read nor copied.
"""

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from data_pipeline.shown import masked, one_line, printable

__all__ = ["columns", "duration", "progress", "say", "table"]

PLAIN_INTERVAL_S = 10.0
_CELL_CHARS = 2000

Advance = Callable[[int, str], None]
"""``advance(done, note)``: so many of the total are done by now; `note` is shown behind the bar."""


def say(text: str) -> None:
    """One line for the user."""
    _console().print(printable(masked(text)), markup=False, highlight=False, soft_wrap=True)


def table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """A small two-column table: what, value."""
    say(title)
    if not rows:
        return
    cells = [(_cell(name), _cell(value)) for name, value in rows]
    widths = _widths(list(zip(*cells, strict=True)), _console().width, whole=0)
    if widths is None:
        for name, value in cells:
            say(f"  {name}: {value}")
        return
    shown = Table(show_header=False)
    for width, justify in zip(widths, ("left", "right"), strict=True):
        shown.add_column(width=width, justify=justify)  # type: ignore[arg-type]  # one of Rich's words
    for row in cells:
        shown.add_row(*map(Text, row))
    _console().print(shown)


def duration(seconds: float) -> str:
    """Seconds for a person: ``41 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def columns(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> None:
    """A table of texts.

    Args:
        numbers: whether all columns but the first hold numbers.
    """
    say(f"\n{title}")
    heads = [_cell(name) for name in names]
    cells = [[_cell(text) for text in row] for row in rows]
    widths = _widths(list(zip(heads, *cells, strict=True)), _console().width)
    if widths is None:
        _paragraphs(heads, cells, _console().width)
        return
    shown = Table()
    for column, (name, width) in enumerate(zip(heads, widths, strict=True)):
        shown.add_column(Text(name), width=width, justify="right" if numbers and column else "left")
    for row in cells:
        shown.add_row(*map(Text, row))
    _console().print(shown)


def _cell(text: str) -> str:
    return one_line(text, limit=_CELL_CHARS)


def _widths(columns: Sequence[Sequence[str]], available: int, whole: int | None = None) -> list[int] | None:
    """The width of each column of texts, together with their frames at most `available`; None where words would break.

    The widest columns are narrowed first, none below its longest word, and the one at `whole` not at all.
    """
    widths = [max(map(cell_len, column)) for column in columns]
    least = [max((cell_len(word) for text in column for word in text.split()), default=0) for column in columns]
    if whole is not None:
        least[whole] = widths[whole]
    available -= 3 * len(columns) + 1
    if sum(least) > available:
        return None
    while sum(widths) > available:
        may_shrink = [index for index, width in enumerate(widths) if width > least[index]]
        widths[max(may_shrink, key=lambda index: widths[index])] -= 1
    return widths


def _paragraphs(names: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> None:
    """A row as its first cell and, below it, the others behind their names."""
    for first, *others in rows:
        parts = [f"{name}: {cell}" if name else cell for name, cell in zip(names[1:], others, strict=True) if cell]
        wrapped = textwrap.wrap("; ".join(parts), width - 4, break_long_words=False, break_on_hyphens=False)
        say("\n".join([first, *(f"    {line}" for line in wrapped)]))


@contextmanager
def progress(title: str, total: int, already: int = 0) -> Iterator[Advance]:
    """Show how much of `total` is done, and about how long the rest takes.

    Args:
        already: how much an earlier run has done, which says nothing of speed.

    Yields:
        ``advance(done, note)``, to be called with the running count, not with increments.
    """
    console = _console()
    if not console.is_terminal:
        yield _plain(title, total, already)
        return
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    ]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(one_line(title), total=total, completed=already, note="")
        yield lambda done, note: bar.update(task, completed=done, note=one_line(note))


def _plain(title: str, total: int, already: int) -> Advance:
    last_s = time.monotonic() - PLAIN_INTERVAL_S  # the first call shows a line at once
    shown, noted = -1, ""
    first: tuple[float, int] | None = None  # when the first work was done: what came before it was starting up

    def advance(done: int, note: str) -> None:
        nonlocal last_s, shown, noted, first
        now_s = time.monotonic()
        if first is None and done > already:
            first = now_s, done
        due = now_s - last_s >= PLAIN_INTERVAL_S
        if (done != shown and (done >= total or due)) or (note != noted and due):
            last_s, shown, noted = now_s, done, note
            parts = [f"{title}: {done:,} of {total:,}", *([note] if note else [])]
            if first is not None and first[1] < done < total:
                left_s = (now_s - first[0]) * (total - done) / (done - first[1])
                parts.append(f"about {duration(left_s)} left")
            say(", ".join(parts))

    return advance


def _console() -> Console:
    return Console(width=None)  # made anew, so that it follows a redirected stdout
