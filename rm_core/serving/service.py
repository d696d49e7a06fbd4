"""One served model: a row comes in, waits with others for a packed row, and gets its rewards.

    score(row) --reader threads--> ReadRow --Batcher, with others--> RowScores, and which model gave them
                                      `-- of a critic or a judge that writes: its texts first, one row at a time

The model may be replaced while it serves: a row is scored by the model that has read it, and the older one goes when
its last row is answered.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from data_pipeline.errors import RunError
from rm_core.generation.interface import WritingTooLong
from rm_core.serving.batching import Batcher, BatchLimits, BatchSeen, Closing, Full, Size
from rm_core.serving.config import ServeConfig
from rm_core.serving.rows import ReadRow, RowLimits, RowScores
from rm_core.serving.served_scorer import ServedScorer

__all__ = ["Answer", "LoadedModel", "NotFinite", "RewardService", "TooLate", "limits_of"]


class TooLate(RunError):
    """A request was not answered in its time."""


class NotFinite(RunError):
    """The model gives no number: it has diverged, or its weights are damaged."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that can answer."""

    address: str
    """What it is called: means this model for ever, where a registry has it."""
    scorer: ServedScorer


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request gets."""

    model: str
    """The address of the model that gave the rewards."""
    scores: RowScores
    num_tokens: int
    """Of prompt and responses."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    model: LoadedModel
    row: ReadRow
    num_tokens: int


def limits_of(config: ServeConfig) -> RowLimits:
    """Of the rows that a server takes."""
    return RowLimits(
        responses=config.max_responses,
        images=config.max_images,
        image_pixels=config.max_image_pixels,
        written_tokens=config.max_written_tokens,
    )


class RewardService:
    """Answers rows with one model; made and used in one event loop.

    Args:
        model: the first one.
        config: limits; what belongs to HTTP is not read here.
        observe: told of each batch.
        wrote: told of each row that something was written of: tokens, seconds, and texts without a verdict.
    """

    def __init__(
        self,
        model: LoadedModel,
        config: ServeConfig,
        observe: Callable[[BatchSeen], object] = lambda _: None,
        wrote: Callable[[int, float, int], object] = lambda *_: None,
    ) -> None:
        self._model = model
        self._config = config
        self._under_way = 0
        self._closing = False
        self._observe, self._wrote = observe, wrote
        self._cached_tokens = 0
        self._writing = asyncio.Lock()
        self._readers = ThreadPoolExecutor(max_workers=config.readers, thread_name_prefix="read")
        limits = BatchLimits(
            tokens=config.token_budget,
            patches=config.patch_budget,
            waiting_tokens=config.max_waiting_tokens,
            wait_s=config.batch_wait_ms / 1000,
        )
        self._batcher: Batcher[_Request, RowScores] = Batcher(self._score, limits, self._computed)

    @property
    def address(self) -> str:
        """Of the model that reads what comes next."""
        return self._model.address

    @property
    def compares(self) -> bool:
        """Whether the answers to one prompt have to come together; see `ServedScorer.compares`."""
        return self._model.scorer.compares

    @property
    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._batcher.is_alive and not self._closing

    @property
    def num_under_way(self) -> int:
        """Rows that are read, wait or are scored."""
        return self._under_way

    def retry_after_s(self) -> int:
        """Whole seconds after which there is room, about."""
        return self._batcher.retry_after_s()

    def replace(self, model: LoadedModel) -> None:
        """Let another model read what comes next."""
        self._model = model

    async def score(self, row: Mapping[str, Any]) -> Answer:
        """The rewards of one row.

        Args:
            row: as `rm_core.scoring.table_rows` says; images as bytes or base64 data URLs.

        Raises:
            RecordError: it can't be scored; the same row never can.
            Full: too much is under way.
            TooLate: there was no answer in `request_timeout_s`.
            Closing: the server ends.
            NotFinite: the model gives no number.
        """
        if not self.is_alive:
            raise Closing("the server ends: ask another one")
        if self._under_way >= self._config.max_waiting:
            raise Full(f"{self._under_way} requests are under way: come again", self.retry_after_s())
        self._under_way += 1
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                return await self._answered(self._model, row, time.monotonic() + self._config.request_timeout_s)
        except (TimeoutError, WritingTooLong) as error:
            raise TooLate(f"no answer in {self._config.request_timeout_s:g} s (serve.request_timeout_s)") from error
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Take nothing more, and return once all that is under way is answered."""
        self._closing = True
        while self._under_way:
            await asyncio.sleep(0.01)
        await self._batcher.close()
        self._readers.shutdown(wait=False)

    async def _answered(self, model: LoadedModel, row: Mapping[str, Any], until_s: float) -> Answer:
        read = await asyncio.get_running_loop().run_in_executor(self._readers, model.scorer.read, row)
        if read.is_open:
            read = await self._written(model, read, until_s)
        size = _size(model, read)
        request = _Request(model=model, row=read, num_tokens=size.prompt_tokens + size.tokens)
        scores = await self._batcher.submit(request, size)
        if not all(map(math.isfinite, scores.rewards)):
            raise NotFinite(f"the model gives {list(scores.rewards)}: it has diverged, or its weights are damaged")
        return Answer(model=model.address, scores=scores, num_tokens=request.num_tokens)

    async def _written(self, model: LoadedModel, read: ReadRow, until_s: float) -> ReadRow:
        """One row after the other, each between two batches: what is scored meanwhile waits for one row at most.

        The thread is the one that scores, since a model can't do both at once.
        """
        async with self._writing:
            read = await self._batcher.between(partial(model.scorer.write, read, until_s))
        self._wrote(read.written_tokens, read.writing_seconds, read.unread)
        return read.checked()

    def _score(self, requests: Sequence[_Request]) -> list[RowScores]:
        """Of each, by the model that has read it."""
        by_scorer: dict[int, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            by_scorer[id(request.model.scorer)].append(index)
        found: dict[int, RowScores] = {}
        for indices in by_scorer.values():
            scorer = requests[indices[0]].model.scorer
            before = scorer.cached_tokens
            scores = scorer.score_read([requests[index].row for index in indices])
            self._cached_tokens += scorer.cached_tokens - before
            found |= zip(indices, scores, strict=True)
        return [found[index] for index in range(len(requests))]

    def _computed(self, seen: BatchSeen) -> None:
        """Tell of a batch, without the tokens that earlier ones have computed."""
        cached, self._cached_tokens = min(self._cached_tokens, seen.tokens), 0
        self._observe(replace(seen, tokens=seen.tokens - cached, cached_tokens=cached))


def _size(model: LoadedModel, row: ReadRow) -> Size:
    found = model.scorer.size(row)
    return Size(
        prompt=(id(model.scorer), found.prompt),
        prompt_tokens=found.prompt_tokens,
        prompt_patches=found.prompt_patches,
        tokens=found.tokens,
        patches=found.patches,
    )
