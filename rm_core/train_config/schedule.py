"""The learning rate as a pure function of the step."""

import math

__all__ = ["learning_rate_scale"]


def learning_rate_scale(step: int, *, num_steps: int, warmup_ratio: float, final_ratio: float) -> float:
    """Share of the peak rate at `step` (0-based): linear warm-up, then cosine down to `final_ratio` at the last step.

    With 100 steps, warm-up 0.1 and final 0.1: step 0 -> 0.1, step 9 -> 1.0, step 99 -> 0.1.
    """
    warmup = max(1, round(warmup_ratio * num_steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup + 1) / max(1, num_steps - warmup)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return final_ratio + (1.0 - final_ratio) * cosine
