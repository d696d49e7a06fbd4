"""Drills within a time: all of them take longer than a server waits, so each run begins with other files.

    pytest -m drill --drill-minutes 25 --drill-turn 7     the files from the seventh on, then the first, for 25 minutes

A drill that is not begun in time is skipped and says so; nothing that has begun is cut short. A file of drills that
says how long it takes, ``pytest.mark.drill(minutes=15)``, is begun only where so much time is left.
"""

import time
from collections.abc import Sequence

import pytest

__all__ = ["DrillTime", "add_options", "in_turn"]


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("drills")
    group.addoption("--drill-minutes", type=float, help="begin no drill after so many minutes; default: all of them")
    group.addoption("--drill-turn", type=int, default=0, help="which file of drills comes first")


def in_turn(files: Sequence[str], turn: int) -> list[str]:
    """The files, each once, from the one whose turn it is.

    >>> in_turn(["a", "b", "c"], 4)
    ['b', 'c', 'a']
    """
    distinct = list(dict.fromkeys(files))
    start = turn % len(distinct) if distinct else 0
    return distinct[start:] + distinct[:start]


class DrillTime:
    """The plugin, there where a limit was given."""

    def __init__(self, minutes: float, turn: int) -> None:
        self._minutes = minutes
        self._turn = turn
        self._end_s = time.monotonic() + 60 * minutes
        self._left: list[str] = []
        self._begun: set[str] = set()

    @pytest.hookimpl(trylast=True)  # after `-m`: files without drills have no turn
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        order = {name: place for place, name in enumerate(in_turn([str(item.path) for item in items], self._turn))}
        items.sort(key=lambda item: order[str(item.path)])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before its fixtures are made."""
        mark, file = item.get_closest_marker("drill"), str(item.path)
        takes_s = 0 if mark is None or file in self._begun else 60 * mark.kwargs.get("minutes", 0)
        if time.monotonic() + takes_s > self._end_s:
            self._left.append(item.path.name)
            pytest.skip(f"the {self._minutes:g} minutes for drills are over: another turn begins with it")
        self._begun.add(file)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._left:
            files = ", ".join(dict.fromkeys(self._left))
            terminalreporter.write_line(f"{len(self._left)} drills are left to another turn, of {files}")
