"""When a training evaluates, what its evaluations have found so far, and whether that ends it early.

`Standing` is part of every checkpoint, so that a resumed training counts on where the killed one was.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rm_core.train_config.config import TRAINING_LOSS, TrainConfig
from rm_core.training.evaluation import GroupEvaluation

__all__ = ["Evaluations", "Standing", "is_lower_better"]

_LOWER = (TRAINING_LOSS, "eval/log_loss")


def is_lower_better(metric: str) -> bool:
    """Whether less of `metric` is better: of losses; accuracies and a benchmark's numbers are the other way."""
    return metric in _LOWER


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The evaluations up to a step."""

    step: int = 0
    """Of the last one; 0: there was none."""
    value: float | None = None
    """Of the `best_metric` in it; None where that is the training loss."""
    best: float | None = None
    best_step: int = 0
    without_better: int = 0
    """Evaluations since the best one."""

    def after(self, step: int, value: float | None, *, lower: bool) -> "Standing":
        """With one more; an equal value is no better one.

        >>> Standing().after(10, 0.7, lower=False).after(20, 0.7, lower=False)
        Standing(step=20, value=0.7, best=0.7, best_step=10, without_better=1)
        """
        better = value is not None and (self.best is None or (value < self.best if lower else value > self.best))
        if value is None or better:
            return Standing(step=step, value=value, best=value, best_step=step)
        return Standing(
            step=step, value=value, best=self.best, best_step=self.best_step, without_better=self.without_better + 1
        )


class Evaluations:
    """The evaluations of a training, on every rank alike.

    Args:
        group: None: the training does not evaluate.
        num_steps: of the whole plan; the last step evaluates.
        log: gets the steps done and the numbers.
    """

    def __init__(
        self,
        group: GroupEvaluation | None,
        config: TrainConfig,
        num_steps: int,
        log: Callable[[int, Mapping[str, float]], None],
    ) -> None:
        self._group = group
        self._config = config
        self._num_steps = num_steps
        self._log = log
        self._standing = Standing()

    def after(self, step: int) -> bool:
        """Evaluate where it is due after so many steps; a collective call.

        Returns:
            False where the group was asked to stop meanwhile; the attempt after this one evaluates then.
        """
        if self._group is None or not self._is_due(step) or self._standing.step == step:
            return True
        numbers = self._group.run(may_stop=step < self._num_steps)
        if numbers is None:
            return False
        metric = self._config.best_metric
        value = None if metric == TRAINING_LOSS else numbers[metric]
        self._standing = self._standing.after(step, value, lower=is_lower_better(metric))
        self._log(step, numbers)
        return True

    def score(self, step: int, loss: float) -> float | None:
        """What a checkpoint of `step` is ranked by, lower is better; None where that step was not evaluated.

        Args:
            loss: mean of the training loss since the checkpoint before.
        """
        metric, standing = self._config.best_metric, self._standing
        if metric == TRAINING_LOSS:
            return loss
        if standing.step != step or standing.value is None:
            return None
        return standing.value if is_lower_better(metric) else -standing.value

    @property
    def ended(self) -> str:
        """Why the training ends before its plan does; empty while it does not."""
        standing, patience = self._standing, self._config.early_stopping
        if not patience or standing.without_better < patience or standing.step >= self._num_steps:
            return ""
        return (
            f"no better {self._config.best_metric} in {patience} evaluations (train.early_stopping={patience}): "
            f"{standing.value:.4f} after step {standing.step}, the best was {standing.best:.4f} after step "
            f"{standing.best_step}"
        )

    @property
    def state(self) -> dict[str, Any]:
        """For a checkpoint, JSON."""
        return asdict(self._standing)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self._standing = Standing(**state)

    def _is_due(self, step: int) -> bool:
        every = self._config.evaluate_every
        return bool(every) and step > 0 and (step % every == 0 or step == self._num_steps)
