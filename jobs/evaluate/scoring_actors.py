"""Reward models as Ray actors: one a GPU, or one a CPU, that each load the model once and score chunk after chunk."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import ray
import torch
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.session import ClusterInfo
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import EncodedComparison
from jobs.evaluate.ready_pool import ReadyPool
from jobs.runtime.ray_session import ray_errors
from jobs.runtime.terminal import progress, say
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scorer import Scorer, score_rows

__all__ = ["AHEAD", "ScoringJob", "collect", "scored_chunks", "scored_rows", "started_ahead"]

AHEAD = 2
"""Chunks an actor that are read and not yet scored: one under way, and one that waits for it."""
CHUNKS_OF_A_NEW_ONE = 4
"""Chunks for which a machine is asked for that has to start first, and load the model."""

Score = TypeVar("Score")
Item = TypeVar("Item")
Started = TypeVar("Started")
Result = TypeVar("Result")

_DIED = "a scoring process died, most likely out of memory: lower token_budget or cluster.num_cpus"


@dataclass(frozen=True, kw_only=True)
class ScoringJob:
    """What an actor is made with."""

    model: str
    token_budget: int
    patch_budget: int
    attention: str
    data: str | None = None
    """The prepared data that row numbers point into; None where Comparisons are sent whole."""


class ScoringActor:
    """A loaded model in a process of its own."""

    def __init__(self, job: ScoringJob) -> None:
        if not torch.cuda.is_available():
            torch.set_num_threads(1)
        budget = PackBudget(tokens=job.token_budget, patches=job.patch_budget)
        self._scorer = Scorer(job.model, budget, attention=job.attention)
        self._data = None if job.data is None else PreparedData.open(job.data)

    def rows(self, rows: Sequence[int], blank_images: bool) -> list[ScoredComparison]:
        """Score rows of the job's prepared data."""
        assert self._data is not None
        return [one for chunk in score_rows(self._scorer, self._data, rows, blank_images=blank_images) for one in chunk]

    def comparisons(self, items: Sequence[EncodedComparison]) -> list[tuple[float, ...]]:
        """Score Comparisons sent whole."""
        return self._scorer.score(items)


def scored_rows(
    job: ScoringJob,
    cluster: ClusterInfo,
    chunks: Sequence[Sequence[int]],
    *,
    blank_images: bool,
    placed: Callable[[], None] | None = None,
) -> Iterator[list[ScoredComparison]]:
    """The chunks' scores, in the order of the chunks; `placed` is called once all actors run."""
    actors = _actors(job, cluster, len(chunks))
    if placed is not None:
        with ray_errors(_DIED):
            ray.get([actor.__ray_ready__.remote() for actor in actors])
        placed()
    pool = ReadyPool(actors)
    return _ended(pool.map([partial(_rows_of, chunk, blank_images) for chunk in chunks]), actors)


def scored_chunks(
    job: ScoringJob,
    cluster: ClusterInfo,
    chunks: Iterable[tuple[Item, Sequence[EncodedComparison]]],
    *,
    num_chunks: int,
) -> Iterator[tuple[Item, list[tuple[float, ...]]]]:
    """What each chunk comes with, and its rewards, in the order of the chunks.

    Chunks are taken only as the actors get on: at most `AHEAD` of them an actor are in memory at once.

    Args:
        num_chunks: about how many there are; no more actors are started.
    """
    actors = _actors(job, cluster, num_chunks)
    pool = ReadyPool(actors)

    def start(chunk: tuple[Item, Sequence[EncodedComparison]]) -> Callable[[], list[tuple[float, ...]]]:
        if not chunk[1]:
            return list
        pool.submit(lambda actor: actor.comparisons.remote(chunk[1]))
        return pool.get_next

    found = ((chunk[0], result()) for chunk, result in started_ahead(chunks, start, AHEAD * len(actors)))
    return _ended(found, actors)


def started_ahead(
    items: Iterable[Started], start: Callable[[Started], Result], limit: int
) -> Iterator[tuple[Started, Result]]:
    """Each item with what `start` gave for it, in order, while at most `limit` of them are started and not yielded."""
    waiting: deque[tuple[Started, Result]] = deque()
    for item in items:
        waiting.append((item, start(item)))
        if len(waiting) >= limit:
            yield waiting.popleft()
    yield from waiting


def collect(title: str, total: int, chunks: Iterable[Sequence[Score]]) -> list[Score]:
    """All scores of the chunks, in one list; shows meanwhile how many of `total` there are."""
    scores: list[Score] = []
    with progress(title, total) as advance:
        for chunk in chunks:
            scores += chunk
            advance(len(scores), "")
    return scores


def _rows_of(chunk: Sequence[int], blank_images: bool, actor: Any) -> Any:
    return actor.rows.remote(chunk, blank_images)


def num_actors(num_chunks: int, now: int, most: int) -> int:
    """One for each GPU or CPU that is there, and for those that may come where each has `CHUNKS_OF_A_NEW_ONE` to do.

    >>> num_actors(40, now=0, most=64), num_actors(40, now=16, most=64), num_actors(3, now=16, most=64)
    (10, 16, 3)
    """
    return max(1, min(num_chunks, now), min(-(-num_chunks // CHUNKS_OF_A_NEW_ONE), most))


def _actors(job: ScoringJob, cluster: ClusterInfo, num_chunks: int) -> list[Any]:
    on_gpu = cluster.on_gpus
    now, most = (cluster.num_gpus, cluster.max_gpus) if on_gpu else (cluster.num_cpus, cluster.max_cpus)
    size = num_actors(num_chunks, now, most)
    if most > now:
        kind = "GPU" if on_gpu else "CPU"
        say(f"up to {size:,} processes score: the cluster has {now:,} {kind}s, and may grow to {most:,}")
    anywhere = PlacementGroupSchedulingStrategy(None)  # type: ignore[arg-type]  # not where the driver is, an actor
    actor = ray.remote(num_cpus=1, num_gpus=1 if on_gpu else 0, scheduling_strategy=anywhere)(ScoringActor)
    return [actor.remote(job) for _ in range(size)]


def _ended(results: Iterator[Any], actors: Sequence[Any]) -> Iterator[Any]:
    """The results, with an actor's errors as `ray_errors` gives them; then what the actors held is free at once.

    A pool and its actors refer to each other, so that the next model's actors would wait for Python to find out.
    """
    try:
        with ray_errors(_DIED):
            yield from results
    finally:
        for actor in actors:
            ray.kill(actor)
