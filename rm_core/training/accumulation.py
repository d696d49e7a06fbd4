"""One optimiser step's rows on one rank: forward, loss, backward, and what they add up to over all ranks.

rows -> (where an objective asks for it: a pass without gradient for the step's mean reward)
     -> each row: rewards -> terms -> backward of sum of term.sum / count of the step
     -> `StepSums`: added up over the ranks in one all-reduce -> `check_work`: what was planned was done
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from data_pipeline.errors import RunError
from rm_core.batches.loader import RankStep
from rm_core.batches.packed import PackedBatch
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.config import CriticConfig
from rm_core.objectives.language import LANGUAGE, check_critiques, with_language
from rm_core.objectives.objective import Objective
from rm_core.objectives.terms import Judged, Unit
from rm_core.objectives.verdict import REASONING, with_reasonings, with_verdicts
from rm_core.packing.plan import StepPlan
from rm_core.training.engines.interface import Engine
from rm_core.training.observers.speed import Phases

__all__ = ["Accumulator", "StepSums", "check_work"]

_MEASURED = ("correct", "margin", "reward", "reward_squared")
_COUNTED = ("pairs", "responses", "comparisons", "tokens", "patches", "distinct_patches")
_DONE = ("done_tokens", "done_patches", "other_kernels", "stops", "ids_hash")


@dataclass(frozen=True, slots=True)
class StepSums:
    """What the ranks did in one step, added up.

    Attributes:
        values: float64 [len(names)] on the CPU, equal on all ranks.
        names: loss of each term and measured sums, count of each term and counted sums, and what the model did.
        units: of each term, the field of `StepCounts` that it is divided by.
        kernel: the attention kernel that ran on this rank.
        rows: this rank's rows: ids of the Comparisons, and whether loss and rewards are finite.
    """

    values: Tensor
    names: tuple[str, ...]
    units: dict[str, Unit]
    kernel: str
    rows: Sequence[tuple[tuple[str, ...], Tensor]]

    def __getitem__(self, name: str) -> float:
        return float(self.values[self.names.index(name)])


def check_work(step: StepPlan, sums: StepSums, kernel: str) -> None:
    """Stop where other work was done than the plan says; equal on all ranks.

    Args:
        kernel: the attention kernel that was configured.

    Raises:
        RunError: says what differs.
    """
    if sums["other_kernels"]:
        raise RunError(
            f"step {step.index}: train.attention chose {kernel!r}, and another kernel ran on "
            f"{sums['other_kernels']:.0f} ranks; on this one {sums.kernel!r}"
        )
    planned = step.counts
    expected = {
        **{f"count_{name}": getattr(planned, unit) for name, unit in sums.units.items()},
        "pairs": planned.pairs,
        "responses": planned.responses,
        "comparisons": planned.comparisons,
        "tokens": planned.tokens,
        "patches": planned.patches,
        "done_tokens": planned.tokens,
        "done_patches": sums["distinct_patches"],
    }
    for name, value in expected.items():
        if sums[name] != value:
            raise RunError(f"step {step.index}: its plan says {value:.0f} {name}, {sums[name]:.0f} were processed")


class Accumulator:
    """Back-propagates a step's rows through the engine.

    Args:
        model: what the engine runs; tells what really went through it.
        phases: are told where this rank is.
        critic: how a model that writes critiques weighs its losses; None: it writes none.
        judges: of a model that gives verdicts, the term whose loss takes the place of the objective's: `VERDICT` or
            `REASONING`; empty: it gives none.
    """

    def __init__(
        self,
        engine: Engine,
        model: RewardModel,
        objective: Objective,
        phases: Phases,
        critic: CriticConfig | None = None,
        *,
        judges: str = "",
    ) -> None:
        self._engine = engine
        self._model = model
        self._objective = objective
        self._phases = phases
        self._critic = critic
        self._judges = judges
        self.row: PackedBatch | None = None
        """Under way, for whoever has to explain why it failed."""
        terms = (*objective.term_names, *([] if critic is None else [LANGUAGE]))
        if judges:
            terms = (judges,)
        self._measured = (*(f"loss_{name}" for name in terms), *_MEASURED)
        self._counted = (*(f"count_{name}" for name in terms), *_COUNTED)
        self.names = (*self._measured, *self._counted, *_DONE)

    def run(self, step: RankStep, rows: Iterator[PackedBatch], *, stop: bool = False) -> StepSums:
        """The step's gradient, and its sums over all ranks; a collective call.

        Args:
            stop: this rank was asked to end the training: all ranks learn of it in the same step.
        """
        mean = None
        if self._objective.needs_step_mean:
            kept = list(self._read(step, rows))
            mean, rows = self._step_mean(kept), iter(kept)
        device = self._engine.device
        measured = torch.zeros(len(self._measured), dtype=torch.float64, device=device)
        counted = torch.zeros(len(self._counted), dtype=torch.float64)
        seen: list[tuple[tuple[str, ...], Tensor]] = []
        units: dict[str, Unit] = {}
        for number, batch in enumerate(self._read(step, rows), start=1):
            self.row = batch
            judged, of_row, finite = self.back_propagate(batch, step, mean, last_row=number == step.num_rows)
            measured += of_row
            counted += _counted(judged, batch)
            units = {name: term.unit for name, term in judged.terms.items()}
            seen.append((batch.ids, finite))
        work = self._model.work.take()
        other = work.kernel != self._model.kernel
        ids_hash = sum(zlib.crc32(name.encode()) for ids, _ in seen for name in ids)
        done = torch.tensor([work.tokens, work.patches, other, stop, ids_hash], dtype=torch.float64)
        self.row = None
        self._phases.enter("optimiser step")
        self._phases.wait()
        values = torch.cat([measured, counted.to(device), done.to(device)])
        dist.all_reduce(values)
        sums = StepSums(values.cpu(), self.names, units, work.kernel, seen)
        self._phases.enter("optimiser step")
        return sums

    def back_propagate(
        self, batch: PackedBatch, step: RankStep, step_mean: Tensor | None, *, last_row: bool = True
    ) -> tuple[Judged, Tensor, Tensor]:
        """Add a row's gradient to the step's; on a GPU nothing is waited for, neither it nor a copy to it.

        Returns:
            What the objective says, float64 sums of it and of the rewards, and whether loss and rewards are finite.
        """
        self._phases.enter("forward", ids=batch.ids)
        output, judged = self._judged(batch, step_mean)
        self._phases.enter("backward")
        # The engine averages over ranks, and a sum is wanted.
        finite = _is_finite(judged)
        loss = _loss(judged, step) * _mark(finite) * self._engine.world_size
        self._engine.backward(loss, last_row=last_row)
        rewards = self._objective.rewards(output.detach(), batch.labels).double()
        return judged, _measured(judged, rewards), finite & torch.isfinite(rewards).all()

    def _judged(self, batch: PackedBatch, step_mean: Tensor | None) -> tuple[Tensor, Judged]:
        """The model's rewards of a row, and what the objective says."""
        if self._critic is not None:
            check_critiques(batch)
        sent = batch.to(self._engine.device)
        output, costs = self._engine.outputs(sent)
        judged = self._objective(output, batch.labels, step_mean=step_mean)
        if costs is None or sent.targets is None:
            return output, judged
        if self._judges and sent.verdicts is not None:
            pairs = batch.labels.num_pairs
            if self._judges == REASONING:
                return output, with_reasonings(judged, costs, sent.targets, sent.verdicts, pairs=pairs)
            return output, with_verdicts(judged, costs, sent.verdicts, pairs=pairs)
        if self._critic is None:
            return output, judged
        comparisons = batch.labels.num_comparisons
        return output, with_language(judged, costs, sent.targets, self._critic, comparisons=comparisons)

    def _read(self, step: RankStep, rows: Iterator[PackedBatch]) -> Iterator[PackedBatch]:
        for row in range(step.num_rows):
            self._phases.enter("loading", step=step.plan.index, row=row)
            yield next(rows)

    def _step_mean(self, rows: Sequence[PackedBatch]) -> Tensor:
        """Mean reward over all judged responses of the step on all ranks; the forward passes are made twice for it."""
        device = self._engine.device
        total, count = torch.zeros((), dtype=torch.float64, device=device), 0
        with torch.no_grad():
            for row, batch in enumerate(rows):
                self._phases.enter("step mean", row=row, ids=batch.ids)
                rewards = self._objective.rewards(self._engine.forward(batch.to(device)), batch.labels).double()
                total += rewards.sum()
                count += len(rewards)
        both = torch.stack([total, torch.full_like(total, count)])
        dist.all_reduce(both)
        self._model.work.take()
        return (both[0] / both[1]).float()


def _loss(judged: Judged, step: RankStep) -> Tensor:
    """A row's share of the step's loss."""
    return torch.stack([term.sum / getattr(step.plan.counts, term.unit) for term in judged.terms.values()]).sum()


def _is_finite(judged: Judged) -> Tensor:
    """Of the row's terms, before they are divided: in a step of ties alone that is 0 / 0 without a gradient."""
    return torch.isfinite(torch.stack([term.sum.detach() for term in judged.terms.values()])).all()


def _mark(finite: Tensor) -> Tensor:
    """1, which changes no bit of the gradient; NaN where the loss is not finite.

    A loss can be infinite and its gradient finite, as softplus(-margin) is at a margin of minus infinity. Marked, no
    stage of ZeRO takes the step, and the device is not waited for.
    """
    return torch.where(finite, 1.0, float("nan"))


def _measured(judged: Judged, rewards: Tensor) -> Tensor:
    values = [*(term.sum.detach() for term in judged.terms.values()), judged.num_correct, judged.margin_sum]
    values += [rewards.sum(), rewards.square().sum()]
    return torch.stack([value.double() for value in values])


def _counted(judged: Judged, batch: PackedBatch) -> Tensor:
    labels = batch.labels
    counts = [term.count for term in judged.terms.values()]
    counts += [labels.num_pairs, labels.num_responses, labels.num_comparisons, batch.num_tokens]
    return torch.tensor([*counts, batch.num_patches, batch.num_distinct_patches], dtype=torch.float64)
