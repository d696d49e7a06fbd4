"""When a policy is trained too far: the reward rises while what it stands for falls.

Gao et al. 2023 ("Scaling laws for reward model overoptimization") see the gold reward rise and then fall while the
proxy goes on rising; here both are measured on the same held-out prompts, each with its standard error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rm_core.rl.config import WatchConfig

__all__ = ["Look", "best_look", "reason_to_end"]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was measured on the held-out prompts."""

    step: int
    reward: float
    """Mean of what the policy learns from."""
    gold: float
    """Mean of what that stands for."""
    gold_error: float
    """Standard error of `gold`."""
    length: float
    """Mean number of tokens of an answer."""
    kl: float | None = None
    """Nats a token from where the policy began; None: not measured."""


def best_look(looks: Sequence[Look]) -> Look | None:
    """The first of those with the most gold."""
    return max(looks, key=lambda look: look.gold, default=None)


def reason_to_end(looks: Sequence[Look], config: WatchConfig) -> str | None:
    """Why the training ends after these looks, oldest first; None: it goes on.

    >>> looks = [Look(step=s, reward=r, gold=g, gold_error=0.01, length=9.0) for s, r, g in
    ...          [(0, 0.0, 0.5), (50, 1.0, 0.7), (100, 2.0, 0.6), (150, 3.0, 0.5)]]
    >>> reason_to_end(looks, WatchConfig())
    'gold reward 0.500 is below the 0.700 of step 50 for 2 looks, while the reward rose from 1.000 to 3.000'
    """
    if not looks:
        return None
    return _too_far(looks, config) or _overoptimised(looks, config)


def _too_far(looks: Sequence[Look], config: WatchConfig) -> str | None:
    first, last = looks[0], looks[-1]
    ratio = config.max_length_ratio
    if ratio is not None and last.length > ratio * first.length:
        return (
            f"answers have {last.length:.0f} tokens, those of step {first.step} had {first.length:.0f}: more than "
            f"rl.watch.max_length_ratio={ratio:g}"
        )
    if config.max_kl is not None and last.kl is not None and last.kl > config.max_kl:
        return f"the policy is {last.kl:.3f} nats a token from where it began, rl.watch.max_kl={config.max_kl:g}"
    return None


def _overoptimised(looks: Sequence[Look], config: WatchConfig) -> str | None:
    best = best_look(looks)
    newest = looks[len(looks) - config.patience :]
    if best is None or config.patience == 0 or len(newest) < config.patience or best in newest:
        return None
    if not all(_below(look, best, config.tolerance) and look.reward >= best.reward for look in newest):
        return None
    last = newest[-1]
    return (
        f"gold reward {last.gold:.3f} is below the {best.gold:.3f} of step {best.step} for {config.patience} looks, "
        f"while the reward rose from {best.reward:.3f} to {last.reward:.3f}"
    )


def _below(look: Look, best: Look, tolerance: float) -> bool:
    """Whether it is below the best by more than what chance does."""
    return best.gold - look.gold > tolerance * math.hypot(look.gold_error, best.gold_error)
