"""One finished trial of a sweep as a point: what it was, what it took, how well it does."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

__all__ = ["TrialPoint"]


@dataclass(frozen=True, kw_only=True)
class TrialPoint:
    """What ``trials/ID/point.json`` holds."""

    id: str
    """12 hexadecimal digits: of the trial's overrides and seed."""
    label: str
    """The point of the sweep for people, such as ``7b``; the same for all of its seeds."""
    axes: dict[str, str]
    """The label of the trial on each axis."""
    overrides: dict[str, Any]
    """Config key -> value."""
    seed: int
    num_parameters: int
    """All weights of the model, the head's too."""
    num_comparisons: int
    """Comparisons trained on, over all epochs."""
    compute_flops: float
    """FLOPs of the training's packed rows: three times those of the forward passes."""
    gpu_hours: float
    """Workers times hours of training."""
    cost: float | None
    """Dollars; None where no price is known, as on CPUs."""
    accuracy: float
    """Share of the ordered held-out pairs that are ranked right."""
    log_loss: float
    """Mean over ordered held-out pairs of -log sigmoid(margin)."""
    train_loss: float
    """The last that was logged."""
    by_source: dict[str, float]
    """Accuracy by the source's name."""
    mlflow_run_id: str

    def to_json(self) -> dict[str, Any]:
        """The point as dicts, lists and numbers, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `to_json` returned.

        Raises:
            ValueError: a field is missing, or one is not known.
        """
        known = {one.name for one in fields(cls)}
        if wrong := known ^ value.keys():
            raise ValueError(f"not the fields of a point: {', '.join(sorted(wrong))} missing or unknown")
        return cls(**value)
