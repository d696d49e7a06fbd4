"""Learning rates of the parts of a model, step by step: PyTorch's `LambdaLR` that can be set to any step."""

from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rm_core.train_config.parameter_groups import ParameterGroups, RateShare

__all__ = ["RateSchedule"]


class RateSchedule(LambdaLR):
    """Every group of the optimiser has the share of its peak rate that `share` gives its part of the model.

    Args:
        optimizer: whose groups are in the order of `groups`.
        groups: with their `name`, the part of the model.
        share: (part of the model, step) -> share of that part's peak learning rate.
    """

    def __init__(self, optimizer: Optimizer, groups: ParameterGroups, share: RateShare) -> None:
        self.parts = [group["name"] for group in groups]
        super().__init__(optimizer, [partial(share, part) for part in self.parts])

    @property
    def rates(self) -> dict[str, float]:
        """Of the next step, by part."""
        return dict(zip(self.parts, map(float, self.get_last_lr()), strict=True))

    @property
    def num_steps(self) -> int:
        """Steps that were taken."""
        return int(self.last_epoch)

    def go_to(self, num_steps: int) -> None:
        """As it is after `num_steps` steps."""
        self.last_epoch, self._step_count = num_steps, num_steps + 1
        self._last_lr = [base * share(num_steps) for base, share in zip(self.base_lrs, self.lr_lambdas, strict=True)]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate
