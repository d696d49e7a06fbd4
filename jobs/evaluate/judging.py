"""Items asked of a judge, each once: some under way at once, each kept as soon as it is answered.

    items that are left --read, one after the other--> at most `concurrency` items under way, in one thread
      -> questions of an item, all at once, in the slots of the endpoint -> its line -> a part of one line

One pool of the command's own asks: the work is waiting, what may be asked at once is the server's to say, and a pause
that it wants holds for all. A killed command loses the answers to items that were under way, and asks about these
again; a failure lets the others end first.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any

from data_pipeline.errors import BaserewardError, RecordError, Unavailable
from data_pipeline.records.checks import check
from data_pipeline.sources.readers.files import RowRange
from jobs.evaluate.score_parts import Part, PartsFolder, Tally
from jobs.runtime.terminal import progress
from rm_core.evaluation.judge.config import JudgeConfig
from rm_core.evaluation.judge.endpoint import Endpoint, Refused, Unanswered
from rm_core.evaluation.judge.kept import judged_line
from rm_core.evaluation.judge.questions import Asked, content_of, orders_of
from rm_core.evaluation.judge.verdicts import Reply

__all__ = ["OF_VERDICTS", "How", "judge_items"]

Items = Callable[[Sequence[int]], Iterable[Asked]]
"""The items at places that ascend, in that order, read as they are asked for."""
_NAMED_BY = ("suite", "index", "id")
Orders = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class How:
    """What items are asked for.

    Attributes:
        orders: of an item, the (first, second) answers of each question; its arguments are the settings and a name
            that draws orders.
        line: of an item, its orders, the replies to each that came, and why some did not: (line, error or None).
        section: of the recipe that names the judge, for messages.
    """

    orders: Callable[[Asked, JudgeConfig, str], Orders]
    line: Callable[[Asked, Orders, Sequence[Sequence[Reply]], str | None], tuple[str, str | None]]
    section: str


OF_VERDICTS = How(
    orders=lambda item, config, name: orders_of(len(item.comparison.responses), both=config.both_orders, key=name),
    line=judged_line,
    section="evaluate.judge",
)
"""Verdicts about all pairs of answers."""


def judge_items(
    title: str,
    total: int,
    items: Items,
    folder: PartsFolder,
    config: JudgeConfig,
    key: str | None,
    how: How = OF_VERDICTS,
) -> Tally:
    """Ask about all items that are not answered yet, and put their lines together.

    Args:
        total: how many there are.
        folder: keeps a part an item.

    Raises:
        BaserewardError: the judge takes no question, or gives no answer; what is done is kept.
    """
    finished = folder.finished(at_least=total)
    if finished is not None:
        return finished
    done = folder.open() | folder.unpack()  # of fewer items, such as those of a smaller `evaluate.limit`
    missing = [place for place in range(total) if place not in done]
    if missing:
        with progress(title, total, total - len(missing)) as advance:
            keep = _Keeper(folder, total - len(missing), lambda count: advance(count, ""))
            with _loop() as run:
                run(_ask_all(iter(items(missing)), config, key, keep, how))
    return folder.publish([RowRange(place, 1) for place in range(total)])


class _Keeper:
    """Writes a part for each item that is answered."""

    def __init__(self, folder: PartsFolder, already: int, advance: Callable[[int], None]) -> None:
        self._folder = folder
        self._count = already
        self._advance = advance

    def keep(self, place: int, line: tuple[str, str | None], repeated: Counter[str]) -> None:
        part = Part(RowRange(place, 1))
        part.add(*line)
        self._folder.write(part, {}, repeated)
        self._count += 1
        self._advance(self._count)


async def _ask_all(items: Iterator[Asked], config: JudgeConfig, key: str | None, keeper: _Keeper, how: How) -> None:
    """Ask about the items; the first failure ends the reading of more, and is raised once all under way have ended."""
    failures: list[BaseException] = []
    under_way: set[asyncio.Task[None]] = set()
    async with Endpoint(config, key, how.section) as endpoint:
        await endpoint.try_out()
        while not failures:
            try:
                item = await asyncio.to_thread(next, items, None)
            except BaserewardError as error:
                failures.append(error)
                break
            if item is None:
                break
            under_way.add(asyncio.create_task(_judge(endpoint, item, config, keeper, how)))
            while len(under_way) >= config.concurrency:
                under_way = await _one_of(under_way, failures)
        while under_way:
            under_way = await _one_of(under_way, failures)
    if failures:
        raise failures[0]


async def _one_of(under_way: set[asyncio.Task[None]], failures: list[BaseException]) -> set[asyncio.Task[None]]:
    """Wait for the first to end; those that are left."""
    ended, left = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    failures += [error for task in ended if (error := task.exception()) is not None]
    return left


async def _judge(endpoint: Endpoint, item: Asked, config: JudgeConfig, keeper: _Keeper, how: How) -> None:
    """Ask all questions of an item and keep its line.

    Raises:
        Unavailable: one got no answer, and that is no wrong item.
    """
    name = " ".join(str(item.fields[key]) for key in _NAMED_BY if key in item.fields)
    repeated: Counter[str] = Counter()
    if (refused := item.failure or _refusal_of(item)) is not None:
        keeper.keep(item.place, how.line(item, (), (), refused), repeated)
        return
    orders = how.orders(item, config, name)
    asked = [partial(content_of, item, config, order) for order in orders for _ in range(config.samples)]
    found = await asyncio.gather(*(endpoint.ask(one, repeated) for one in asked), return_exceptions=True)
    failure = _failure_of(found, config, name, how.section)
    by_question = [found[start : start + config.samples] for start in range(0, len(found), config.samples)]
    replies = [[one for one in of_question if isinstance(one, Reply)] for of_question in by_question]
    keeper.keep(item.place, how.line(item, orders, replies, failure), repeated)


def _refusal_of(item: Asked) -> str | None:
    try:
        check(item.comparison, labelled=False)
    except RecordError as refusal:
        return str(refusal)
    return None


def _failure_of(found: Sequence[Reply | BaseException], config: JudgeConfig, name: str, section: str) -> str | None:
    """Why the item has no rewards, behind a word to count by: of its first one without a reply; None: all have one.

    Raises:
        BaserewardError: it is a failure of the work and not of the item.
    """
    failures = [one for one in found if isinstance(one, BaseException)]
    for one in failures:
        if not isinstance(one, Refused | Unanswered | RecordError):
            raise one
        if isinstance(one, Unanswered) and config.unanswered == "fail":
            raise Unavailable(
                f"the judge gave no answer about item {name!r}: {one}; what is answered is kept: give the same command "
                f"again once it is up, or go on without such items: see {section}.unanswered"
            ) from one
    if not failures:
        return None
    first = failures[0]
    return str(first) if isinstance(first, RecordError) else f"{type(first).__name__.lower()}: {first}"


@contextmanager
def _loop() -> Iterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Runs coroutines in a thread of its own: a signal raises here, where the command waits, and ends them.

    In the loop's own thread an exception of a signal handler may fall into a callback, which swallows it; and the
    caller may run in a loop already.
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="judge", daemon=True)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(_end_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
