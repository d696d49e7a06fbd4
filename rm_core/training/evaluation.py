"""The group evaluates the weights that it trains: all ranks together, on packed rows, without a gradient.

    EvaluationSet -> packs of its table, the same on any number of ranks -> turns, as many for every rank
                  -> rewards of all ranks, gathered -> `EvaluationSet.measure` -> numbers by name

Under ZeRO-3 every rank takes part in every turn, with an idle row where it has none. The model is in evaluation mode
meanwhile and no random number is drawn, so the steps that follow are those of a training that does not evaluate.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from data_pipeline.errors import RunError
from rm_core.batches.loader import Comparisons, PackLoader
from rm_core.batches.packed import PackedBatch
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.pairwise import means
from rm_core.packing.plan import Pack, PackBudget
from rm_core.packing.sizes import PlanningTable
from rm_core.packing.whole import WholeTable
from rm_core.train_config.config import TrainConfig
from rm_core.training.engines.interface import Engine
from rm_core.training.observers import Phases

__all__ = ["EvaluationSet", "GroupEvaluation", "Rewards"]

Rewards = Sequence[tuple[float, ...]]
"""K numbers for each Comparison."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """Comparisons to evaluate on, and what their rewards are worth."""

    name: str
    """``heldout``, or the suite's."""
    measured_on: str
    """What the numbers are of, for whoever sees only them: ``200 of 2,400 held-out Comparisons``."""
    data: Comparisons
    table: PlanningTable
    measure: Callable[[Rewards], Mapping[str, float]]
    """Rewards of every row of `table` -> numbers by the name under which they are logged; the same on every rank."""


class GroupEvaluation:
    """Evaluates on several sets; made on every rank.

    Args:
        model: what the engine runs.
        phases: are told where this rank is.
        stop: as `Hooks.stop`.

    Raises:
        RecipeError: a Comparison alone exceeds a budget of the training.
    """

    def __init__(
        self,
        engine: Engine,
        model: RewardModel,
        config: TrainConfig,
        sets: Sequence[EvaluationSet],
        phases: Phases,
        stop: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._model = model
        self._sets = sets
        self._phases = phases
        self._stop = stop
        budget = PackBudget(tokens=config.token_budget, patches=config.patch_budget)
        self._plans = [WholeTable(one.table, budget) for one in sets]
        self._loaders = [
            PackLoader(
                one.data, one.table, plan, rank=engine.world_rank, world_size=engine.world_size,
                row_format=model.row_format, prefetch=config.prefetch, num_workers=config.loader_workers,
            )
            for one, plan in zip(sets, self._plans, strict=True)
        ]  # fmt: skip

    def run(self, *, may_stop: bool) -> dict[str, float] | None:
        """The numbers of all sets, equal on all ranks; a collective call.

        Args:
            may_stop: end early where any rank was asked to stop; the result is then None.

        Raises:
            RunError: a Comparison cannot be read, a reward is not finite, or another work was done than planned.
        """
        training = self._model.training
        self._model.eval()
        numbers: dict[str, float] = {}
        try:
            for place, one in enumerate(self._sets):
                rewards = self._rewards(place, may_stop=may_stop)
                if rewards is None:
                    return None
                numbers |= one.measure(rewards)
        finally:
            self._model.train(training)
        return numbers

    def _rewards(self, place: int, *, may_stop: bool) -> Rewards | None:
        """Of every row of a set's table, in their order; None where the group was asked to stop."""
        table, plan = self._sets[place].table, self._plans[place]
        offsets = np.cumsum([0, *table.num_responses.tolist()])
        found = torch.zeros(int(offsets[-1]), dtype=torch.float64, device=self._engine.device)
        self._phases.enter("evaluation", row=0, ids=())
        with closing(self._loaders[place].steps(0)) as steps:
            step, rows = next(steps)
            packs = plan.schedule(step.plan, self._engine.world_size)[self._engine.world_rank]
            for turn, (pack, batch) in enumerate(zip(packs, rows, strict=True)):
                if may_stop and self._any(self._stop()):
                    self._model.work.take()
                    return None
                self._phases.enter("evaluation", row=turn, ids=batch.ids)
                found[_places(pack, offsets).to(found.device)] = self._score(batch)
        self._check_work(self._sets[place])
        dist.all_reduce(found)  # every place was filled by one rank: nothing is rounded
        values = found.tolist()
        return [tuple(values[start:stop]) for start, stop in pairwise(offsets)]

    def _score(self, batch: PackedBatch) -> Tensor:
        with torch.no_grad():
            return means(self._engine.forward(batch.to(self._engine.device))).double()

    def _any(self, yes: bool) -> bool:
        """Whether any rank says so."""
        most = torch.tensor(int(yes), device=self._engine.device)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        return bool(most)

    def _check_work(self, one: EvaluationSet) -> None:
        """As `check_work` for a step: all tokens once, by the chosen kernel."""
        work = self._model.work.take()
        done = torch.tensor(
            [work.tokens, work.kernel != self._model.kernel], dtype=torch.float64, device=self._engine.device
        )
        dist.all_reduce(done)
        planned = int(one.table.num_tokens.sum(dtype=np.int64))
        if done[0] != planned or done[1]:
            raise RunError(
                f"evaluation on {one.measured_on}: its plan says {planned:,} tokens by kernel {self._model.kernel!r}; "
                f"{done[0]:.0f} were processed, by another kernel on {done[1]:.0f} ranks (on this one {work.kernel!r})"
            )


def _places(pack: Pack, offsets: npt.NDArray[np.int64]) -> Tensor:
    """Where the rewards of a pack's Comparisons stand among those of all: int64 [R]."""
    parts = [np.arange(offsets[row], offsets[row + 1]) for row in pack.rows]
    return torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *parts]))
