"""Requests that wait are answered together: what goes together, what waits, what is refused, what fails alone."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from rm_core.serving.batching import Batcher, BatchLimits, BatchSeen, Closing, Full, Size

LIMITS = BatchLimits(tokens=100, patches=50, waiting_tokens=400, wait_s=0.005)


def size(prompt: str, tokens: int = 10, *, prompt_tokens: int = 20, patches: int = 0) -> Size:
    return Size(prompt=prompt, prompt_tokens=prompt_tokens, prompt_patches=patches, tokens=tokens, patches=0)


class Scoring:
    """What the thread is given; it may be held, and may break at an item."""

    def __init__(self, broken: str | None = None) -> None:
        self.batches: list[list[str]] = []
        self.free = threading.Event()
        self.free.set()
        self._broken = broken

    def __call__(self, items: Sequence[str]) -> list[str]:
        self.batches.append(list(items))
        assert self.free.wait(10)
        if self._broken in items:
            raise RuntimeError("broken")
        return [item.upper() for item in items]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))  # type: ignore[arg-type]


def test_what_waits_at_the_same_time_goes_together() -> None:
    async def main() -> None:
        scoring, seen = Scoring(), list[BatchSeen]()
        batcher: Batcher[str, str] = Batcher(scoring, LIMITS, seen.append)
        asked = [batcher.submit(name, size(name[0])) for name in ("a1", "b1", "a2", "a3")]
        assert await asyncio.gather(*asked) == ["A1", "B1", "A2", "A3"]
        assert scoring.batches == [["a1", "b1", "a2", "a3"]]
        assert (seen[0].requests, seen[0].tokens, seen[0].shared_tokens) == (4, 80, 40)
        await batcher.close()

    run(main)


def test_the_oldest_goes_first_and_what_fits_goes_with_it() -> None:
    async def main() -> None:
        scoring = Scoring()
        scoring.free.clear()
        batcher: Batcher[str, str] = Batcher(scoring, LIMITS)
        asked = [asyncio.create_task(batcher.submit("first", size("p")))]
        while not scoring.batches:
            await asyncio.sleep(0.001)
        for name, one in (
            ("large", size("p1", 60)), ("another", size("p2", 50)), ("of p1", size("p1", 15)), ("small", size("p3", 1)),
        ):  # fmt: skip
            asked.append(asyncio.create_task(batcher.submit(name, one)))
        await asyncio.sleep(0)
        assert batcher.num_waiting == 4
        scoring.free.set()
        await asyncio.gather(*asked)
        assert scoring.batches == [["first"], ["large", "of p1"], ["another", "small"]]
        await batcher.close()

    run(main)


def test_patches_count_too_and_one_that_is_too_large_goes_alone() -> None:
    async def main() -> None:
        scoring = Scoring()
        batcher: Batcher[str, str] = Batcher(scoring, LIMITS)
        sizes = {"a": size("a", patches=30), "b": size("b", patches=30), "huge": size("huge", 500)}
        await asyncio.gather(*(batcher.submit(name, one) for name, one in list(sizes.items())[:2]))
        await batcher.submit("huge", sizes["huge"])
        assert scoring.batches == [["a"], ["b"], ["huge"]]
        await batcher.close()

    run(main)


def test_one_that_breaks_the_model_fails_alone() -> None:
    async def main() -> None:
        batcher: Batcher[str, str] = Batcher(Scoring(broken="bad"), LIMITS)
        found = await asyncio.gather(
            *(batcher.submit(name, size(name)) for name in ("a", "bad", "c")), return_exceptions=True
        )
        assert [found[0], found[2]] == ["A", "C"] and str(found[1]) == "broken"
        assert await batcher.submit("d", size("d")) == "D", "it goes on"
        await batcher.close()

    run(main)


def test_above_its_tokens_it_is_full_and_says_when_to_come_again() -> None:
    async def main() -> None:
        scoring = Scoring()
        scoring.free.clear()
        batcher: Batcher[str, str] = Batcher(scoring, LIMITS)
        first = asyncio.create_task(batcher.submit("x", size("x")))
        while not scoring.batches:
            await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(batcher.submit(f"w{n}", size(f"w{n}", 180))) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Full) as caught:
            await batcher.submit("more", size("more"))
        assert 1 <= caught.value.retry_after_s <= 60
        scoring.free.set()
        await asyncio.gather(first, *waiting)
        assert await batcher.submit("more", size("more")) == "MORE"
        await batcher.close()

    run(main)


def test_who_has_gone_is_left_out_and_the_end_answers_all_who_wait() -> None:
    async def main() -> None:
        scoring = Scoring()
        scoring.free.clear()
        batcher: Batcher[str, str] = Batcher(scoring, LIMITS)
        tasks = [asyncio.create_task(batcher.submit("a", size("a")))]
        while not scoring.batches:
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(batcher.submit(name, size(name))) for name in ("b", "c")]
        await asyncio.sleep(0)
        tasks[1].cancel()
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(Closing):
            await batcher.submit("late", size("late"))
        scoring.free.set()
        await closing
        assert [await tasks[0], await tasks[2]] == ["A", "C"]
        assert scoring.batches == [["a"], ["c"]] and not batcher.is_alive

    run(main)
