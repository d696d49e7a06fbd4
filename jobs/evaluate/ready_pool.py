"""Actors that get work once they run: what waits for a machine holds nothing up, and what comes later helps."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray

__all__ = ["ReadyPool"]

Call = Callable[[Any], Any]
"""Starts a call on the actor that it is given; returns its reference."""


class ReadyPool:
    """Calls on the first actor that is free, and their results in the order of the calls.

    Ray's own `ActorPool` hands calls out before an actor has started: on a cluster that grows, those of an actor whose
    machine never comes would wait for ever, and with them every later result.

    Args:
        actors: just made; an error in making one is raised by `get_next`.
    """

    def __init__(self, actors: Sequence[Any]) -> None:
        self._starting = {actor.__ray_ready__.remote(): actor for actor in actors}
        self._idle: list[Any] = []
        self._waiting: deque[tuple[int, Call]] = deque()
        self._running: dict[Any, tuple[int, Any]] = {}
        self._done: dict[int, Any] = {}
        self._num_calls = 0
        self._num_taken = 0

    def submit(self, call: Call) -> None:
        """Make `call` once an actor is free."""
        self._waiting.append((self._num_calls, call))
        self._num_calls += 1
        self._hand_out()

    def get_next(self) -> Any:
        """The result of the earliest call that was not asked for yet; errors of calls and actors as Ray raises them."""
        place = self._num_taken
        self._num_taken += 1
        while place not in self._done:
            self._step()
        return ray.get(self._done.pop(place))

    def map(self, calls: Sequence[Call]) -> Iterator[Any]:
        """The results of the calls, in their order."""
        for call in calls:
            self.submit(call)
        for _ in calls:
            yield self.get_next()

    def _step(self) -> None:
        """Wait until an actor has started, or a call has ended."""
        [found], _ = ray.wait([*self._running, *self._starting], num_returns=1)
        if found in self._starting:
            actor = self._starting.pop(found)
            ray.get(found)
        else:
            place, actor = self._running.pop(found)
            self._done[place] = found
        self._idle.append(actor)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            place, call = self._waiting.popleft()
            actor = self._idle.pop()
            self._running[call(actor)] = (place, actor)
