"""The scoring pool of `evaluate` without a cluster: one actor, in this process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

from cluster.session import ClusterInfo
from data_pipeline.encoding.encoder import EncodedComparison
from jobs.evaluate.scoring_actors import Given, ScoringActor, ScoringJob
from jobs.recipe.schema import ClusterConfig
from rm_core.evaluation.diagnostics.probes import Probed
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.written import WrittenRow


class LocalPool:
    """Loads the model with the first question, and dies at the question of a number, if it is told so."""

    loaded = 0
    """Models that all pools loaded."""

    def __init__(
        self,
        job: ScoringJob,
        config: ClusterConfig | None = None,
        opened: ClusterInfo | None = None,
        placed: Callable[[], None] | None = None,
        *,
        dies_at: int | None = None,
    ) -> None:
        self._job = job
        self._actor: ScoringActor | None = None
        self._left = dies_at
        self.asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._actor = None

    def rows(self, chunks: Sequence[Sequence[int]], *, blank_images: bool) -> Iterator[list[ScoredComparison]]:
        yield from (self._ask().rows(chunk, blank_images) for chunk in chunks)

    def seconds(self) -> float:
        return 0.0 if self._actor is None else self._actor.seconds()

    def probed(self, probe: str, chunks: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Iterator[list[Probed]]:
        yield from (self._ask().probed(probe, *chunk) for chunk in chunks)

    def written(self, chunks: Sequence[Sequence[int]], *, blank_images: bool) -> Iterator[list[WrittenRow]]:
        yield from (self._ask().written(chunk, blank_images) for chunk in chunks)

    def comparisons(
        self, chunks: Iterable[tuple[Any, Sequence[EncodedComparison]]], *, num_chunks: int
    ) -> Iterator[tuple[Any, list[Given]]]:
        yield from ((item, self._ask().comparisons(items)) for item, items in chunks)

    def _ask(self) -> ScoringActor:
        self.asked += 1
        if self.asked == self._left:
            raise KeyboardInterrupt
        if self._actor is None:
            LocalPool.loaded += 1
            self._actor = ScoringActor(self._job)
        return self._actor
