"""Which checkpoints stay."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Retention"]


@dataclass(frozen=True, kw_only=True)
class Retention:
    """The newest always stays; what no rule keeps goes."""

    last: int = 2
    """So many of the newest."""
    best: int = 0
    """So many of the lowest score."""
    every: int = 0
    """All whose step is a multiple of it; 0: none for that."""

    def removed(self, scores: Mapping[int, float | None]) -> list[int]:
        """Steps to delete out of step -> score, ascending; of equal scores the newer step stays.

        Of steps 10, 20, 30, 40 with scores 3, 1, 2, 4, ``last=1, best=1`` deletes 10 and 30.
        """
        steps = sorted(scores)
        kept = set(steps[-max(1, self.last) :])
        judged = sorted((score, -step) for step, score in scores.items() if score is not None)
        kept |= {-negative for _, negative in judged[: self.best]}
        kept |= {step for step in steps if self.every and step % self.every == 0}
        return [step for step in steps if step not in kept]
