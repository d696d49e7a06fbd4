"""Reward models as Ray actors: one a GPU, or one a CPU, that each load the model once and score chunk after chunk."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Self, TypeVar

import ray
import torch
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.session import ClusterInfo
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.tokenizer import load_tokenizer
from jobs.evaluate.ready_pool import ReadyPool
from jobs.recipe.schema import ClusterConfig
from jobs.runtime.ray_session import open_cluster, ray_errors
from jobs.runtime.terminal import progress, say
from rm_core.evaluation.diagnostics.probes import Probed
from rm_core.evaluation.diagnostics.rows import ProbedRows, probe_rows
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.model_folder.remote import local_model
from rm_core.packing.plan import PackBudget
from rm_core.scoring.choose import scorer_of
from rm_core.scoring.cost import TimedScores
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scorer import score_rows
from rm_core.scoring.written import Made, WritingScorer, WrittenRow

__all__ = ["AHEAD", "Given", "ScoringJob", "ScoringPool", "collect", "started_ahead"]

AHEAD = 2
"""Chunks an actor that are read and not yet scored: one under way, and one that waits for it."""
CHUNKS_OF_A_NEW_ONE = 4
"""Chunks for which a machine is asked for that has to start first, and load the model."""

Given = tuple[float, ...] | Made
"""Rewards of a Comparison; of a model that writes first, with what it wrote."""
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
    critiques: CritiquesConfig = field(default_factory=CritiquesConfig)
    """Where a critic's critiques come from."""
    verdicts: VerdictsConfig = field(default_factory=VerdictsConfig)
    """What a judge is asked."""


class ScoringActor:
    """A loaded model in a process of its own."""

    def __init__(self, job: ScoringJob) -> None:
        if not torch.cuda.is_available():
            torch.set_num_threads(1)
        self._job = job
        budget = PackBudget(tokens=job.token_budget, patches=job.patch_budget)
        self._scorer = scorer_of(job.model, budget, job.critiques, job.verdicts, attention=job.attention)
        self._timed = TimedScores(self._scorer)
        self._data = None if job.data is None else PreparedData.open(job.data)

    def rows(self, rows: Sequence[int], blank_images: bool) -> list[ScoredComparison]:
        """Score rows of the job's prepared data."""
        assert self._data is not None
        return [one for chunk in score_rows(self._timed, self._data, rows, blank_images=blank_images) for one in chunk]

    def seconds(self) -> float:
        """That `rows` took so far, without blanked images."""
        return self._timed.seconds

    def probed(self, probe: str, rows: Sequence[int], block: Sequence[int]) -> list[Probed]:
        """Score rows of the job's prepared data as a probe changes them; `block`: see `probe_rows`."""
        return probe_rows(self._scorer, self._probed, probe, rows, block)

    def comparisons(self, items: Sequence[EncodedComparison]) -> list[Given]:
        """Score Comparisons sent whole."""
        return list(
            map(self._scorer.made, items) if isinstance(self._scorer, WritingScorer) else self._scorer.score(items)
        )

    def written(self, rows: Sequence[int], blank_images: bool) -> list[WrittenRow]:
        """Write about rows of the job's prepared data, and score them."""
        assert self._data is not None and isinstance(self._scorer, WritingScorer)
        return self._scorer.rows(map(self._data.encoded, rows), blank_images=blank_images)

    @cached_property
    def _probed(self) -> ProbedRows:
        assert self._data is not None
        return ProbedRows(self._data, load_tokenizer(local_model(self._job.model)), self._job.token_budget)


class ScoringPool:
    """Scoring actors for the length of a block: they start with the first question, and load the model once.

    Args:
        config: the cluster that is opened where none is open.
        opened: the cluster, or the share of it, that a larger job has for this.
        placed: called once all actors that the first rows need run.
    """

    def __init__(
        self,
        job: ScoringJob,
        config: ClusterConfig,
        opened: ClusterInfo | None = None,
        placed: Callable[[], None] | None = None,
    ) -> None:
        self._job = job
        self._config = config
        self._opened = opened
        self._placed = placed
        self._actors: list[Any] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """What the actors hold is free at once: else it would wait for Python to find out."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors.clear()
        self._stack.__exit__(kind, error, traceback)

    def rows(self, chunks: Sequence[Sequence[int]], *, blank_images: bool) -> Iterator[list[ScoredComparison]]:
        """The scores of rows of the job's prepared data, chunk by chunk, in order."""
        return self._mapped(lambda actor, chunk: actor.rows.remote(chunk, blank_images), chunks)

    def seconds(self) -> float:
        """That all actors together took for `rows` so far, without blanked images."""
        with ray_errors(_DIED):
            return float(sum(ray.get([actor.seconds.remote() for actor in self._actors])))

    def probed(self, probe: str, chunks: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Iterator[list[Probed]]:
        """The rewards of changed rows, chunk by chunk, in order.

        Args:
            chunks: rows, and those that may be shown each other's pictures.
        """
        return self._mapped(lambda actor, chunk: actor.probed.remote(probe, *chunk), chunks)

    def written(self, chunks: Sequence[Sequence[int]], *, blank_images: bool) -> Iterator[list[WrittenRow]]:
        """The same, of a model that writes first, with what it wrote."""
        return self._mapped(lambda actor, chunk: actor.written.remote(chunk, blank_images), chunks)

    def comparisons(
        self, chunks: Iterable[tuple[Item, Sequence[EncodedComparison]]], *, num_chunks: int
    ) -> Iterator[tuple[Item, list[Given]]]:
        """What each chunk comes with, and its rewards, in the order of the chunks.

        Chunks are taken only as the actors get on: at most `AHEAD` of them an actor are in memory at once.

        Args:
            num_chunks: about how many there are; no more actors are started.
        """
        actors = self._started(num_chunks)
        pool = ReadyPool(actors)

        def start(chunk: tuple[Item, Sequence[EncodedComparison]]) -> Callable[[], list[Given]]:
            if not chunk[1]:
                return list
            pool.submit(lambda actor: actor.comparisons.remote(chunk[1]))
            return pool.get_next

        with ray_errors(_DIED):
            for chunk, result in started_ahead(chunks, start, AHEAD * len(actors)):
                yield chunk[0], result()

    def _mapped(self, ask: Callable[..., Any], chunks: Sequence[Any]) -> Iterator[Any]:
        actors = self._started(len(chunks))
        with ray_errors(_DIED):
            if self._placed is not None:
                ray.get([actor.__ray_ready__.remote() for actor in actors])
                self._placed()
                self._placed = None
            yield from ReadyPool(actors).map([partial(ask, chunk=chunk) for chunk in chunks])

    def _started(self, num_chunks: int) -> list[Any]:
        """Those that run already, and more where so many chunks are worth it."""
        cluster = self._stack.enter_context(open_cluster(self._config, opened=self._opened))
        self._opened = cluster
        on_gpu = cluster.on_gpus
        now, most = (cluster.num_gpus, cluster.max_gpus) if on_gpu else (cluster.num_cpus, cluster.max_cpus)
        size = num_actors(num_chunks, now, most)
        if most > now and size > len(self._actors):
            kind = "GPU" if on_gpu else "CPU"
            say(f"up to {size:,} processes score: the cluster has {now:,} {kind}s, and may grow to {most:,}")
        anywhere = PlacementGroupSchedulingStrategy(None)  # type: ignore[arg-type]  # not where the driver is, an actor
        actor = ray.remote(num_cpus=1, num_gpus=1 if on_gpu else 0, scheduling_strategy=anywhere)(ScoringActor)
        self._actors += [actor.remote(self._job) for _ in range(size - len(self._actors))]
        return self._actors


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


def num_actors(num_chunks: int, now: int, most: int) -> int:
    """One for each GPU or CPU that is there, and for those that may come where each has `CHUNKS_OF_A_NEW_ONE` to do.

    >>> num_actors(40, now=0, most=64), num_actors(40, now=16, most=64), num_actors(3, now=16, most=64)
    (10, 16, 3)
    """
    return max(1, min(num_chunks, now), min(-(-num_chunks // CHUNKS_OF_A_NEW_ONE), most))
