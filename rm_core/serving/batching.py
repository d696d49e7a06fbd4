"""Requests that wait at the same time, answered together: one worker, which takes as many at once as fit into a row.

    submit --> waiting, oldest first --take--> a batch --score, in a thread--> an answer each
                  `-- full: Full, with when to come again

The oldest always goes first; behind it those go too that fit, and one that asks about a prompt of the batch needs room
for its answers alone. While a batch is computed, the next one gathers. Where a batch fails, each of its requests is
tried alone, so that one that breaks the model fails alone.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from data_pipeline.errors import RunError

__all__ = ["BatchLimits", "BatchSeen", "Batcher", "Closing", "Full", "Size"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Between = TypeVar("Between")

_FIRST_TOKENS_PER_S = 1000.0
"""What is guessed before the first batch; a CPU does some hundreds with a small model, a GPU ten thousands."""
_LONGEST_RETRY_S = 60


class Full(RunError):
    """More waits than may wait; the same request may be sent again.

    Args:
        retry_after_s: when there will be room, about.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Closing(RunError):
    """The server ends, and takes nothing more."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a request takes of a row."""

    prompt: Hashable
    """The same for requests about one prompt."""
    prompt_tokens: int
    prompt_patches: int
    tokens: int
    """Of the responses."""
    patches: int
    """Of images in responses."""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """How much goes together, and how much may wait."""

    tokens: int
    patches: int
    waiting_tokens: int
    wait_s: float
    """How long a batch that has room waits for more."""


@dataclass(frozen=True, kw_only=True)
class BatchSeen:
    """What an observer is told of a batch."""

    requests: int
    tokens: int
    """Those computed: each prompt once."""
    shared_tokens: int
    """Those of prompts that another request of the batch has brought too."""
    cached_tokens: int = 0
    """Those of prompts that an earlier batch has computed; they are no part of `tokens`."""
    seconds: float
    waited_s: float
    """How long the oldest request waited."""


@dataclass
class _Waiting(Generic[Item, Result]):
    item: Item
    size: Size
    answer: "asyncio.Future[Result]"
    since_s: float

    @property
    def tokens(self) -> int:
        return self.size.prompt_tokens + self.size.tokens


@dataclass
class _Taken:
    """What a batch holds so far."""

    prompts: set[Hashable]
    tokens: int = 0
    patches: int = 0
    shared_tokens: int = 0

    def add(self, size: Size, limits: BatchLimits) -> bool:
        """Take one more, if it fits or is the first."""
        known = size.prompt in self.prompts
        tokens = size.tokens + (0 if known else size.prompt_tokens)
        patches = size.patches + (0 if known else size.prompt_patches)
        fits = self.tokens + tokens <= limits.tokens and self.patches + patches <= limits.patches
        if self.prompts and not fits:
            return False
        self.prompts.add(size.prompt)
        self.tokens += tokens
        self.patches += patches
        self.shared_tokens += size.prompt_tokens if known else 0
        return True


class Batcher(Generic[Item, Result]):
    """Answers requests in batches; made and used in one event loop.

    Args:
        score: one result for each item, in order; called in a thread, one call at a time.
        limits: how much goes together, and how much may wait.
        observe: told of each batch.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Item]], Sequence[Result]],
        limits: BatchLimits,
        observe: Callable[[BatchSeen], object] = lambda _: None,
    ) -> None:
        self._score = score
        self._limits = limits
        self._observe = observe
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._waiting_tokens = 0
        self._tokens_per_s = _FIRST_TOKENS_PER_S
        self._some = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score")
        self._worker = asyncio.get_running_loop().create_task(self._work())

    @property
    def is_alive(self) -> bool:
        """Whether it answers."""
        return not self._worker.done()

    @property
    def num_waiting(self) -> int:
        """Requests that no batch has taken."""
        return len(self._waiting)

    def retry_after_s(self) -> int:
        """Whole seconds, at least 1, in which what waits now is answered, as fast as the last batches were."""
        return max(1, min(_LONGEST_RETRY_S, round(self._waiting_tokens / self._tokens_per_s)))

    async def submit(self, item: Item, size: Size) -> Result:
        """The answer of one request; cancel the call, and a batch that has not begun leaves the request out.

        Raises:
            Full: too many tokens wait.
            Closing: the server ends.
            Exception: as `score` raised it for this item alone.
        """
        if self._closing or not self.is_alive:
            raise Closing("the server ends: ask another one")
        waiting = _Waiting(item, size, asyncio.get_running_loop().create_future(), time.monotonic())
        if self._waiting and self._waiting_tokens + waiting.tokens > self._limits.waiting_tokens:
            raise Full(f"{self._waiting_tokens} tokens wait: come again", self.retry_after_s())
        self._waiting.append(waiting)
        self._waiting_tokens += waiting.tokens
        self._some.set()
        answer: Result = await waiting.answer
        return answer

    async def between(self, work: Callable[[], Between]) -> Between:
        """Do something else in the thread that scores, before the next batch."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Take nothing more, and return once all that waits is answered."""
        self._closing = True
        self._some.set()
        await asyncio.wait([self._worker])
        self._thread.shutdown(wait=False)

    async def _work(self) -> None:
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._some.clear()
                await self._some.wait()
                continue
            if self._limits.wait_s and self._waiting_tokens < self._limits.tokens and not self._closing:
                await asyncio.sleep(self._limits.wait_s)
            batch, taken = self._take()
            if batch:
                await self._answer(batch, taken)

    def _take(self) -> tuple[list[_Waiting[Item, Result]], _Taken]:
        """The oldest, and behind it what fits; without those whose askers have gone."""
        taken = _Taken(set())
        batch: list[_Waiting[Item, Result]] = []
        left: deque[_Waiting[Item, Result]] = deque()
        for one in self._waiting:
            if one.answer.done():
                self._waiting_tokens -= one.tokens
            elif taken.add(one.size, self._limits):
                self._waiting_tokens -= one.tokens
                batch.append(one)
            else:
                left.append(one)
        self._waiting = left
        return batch, taken

    async def _answer(self, batch: Sequence[_Waiting[Item, Result]], taken: _Taken) -> None:
        start_s = time.monotonic()
        await self._try(batch)
        seconds = time.monotonic() - start_s
        self._tokens_per_s = (self._tokens_per_s + taken.tokens / max(seconds, 1e-6)) / 2
        self._observe(
            BatchSeen(
                requests=len(batch),
                tokens=taken.tokens,
                shared_tokens=taken.shared_tokens,
                seconds=seconds,
                waited_s=start_s - batch[0].since_s,
            )
        )

    async def _try(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        """Answer all of them, or each alone where together they fail."""
        score = asyncio.get_running_loop().run_in_executor(self._thread, self._score, [one.item for one in batch])
        try:
            results = await score
        except Exception as error:  # noqa: BLE001  # whatever it is, whoever waits has to hear of it
            if len(batch) > 1:
                for one in batch:
                    await self._try([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for one, result in zip(batch, results, strict=True):
            if not one.answer.done():
                one.answer.set_result(result)
