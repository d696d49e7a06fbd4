"""Folders of sweeps as `basereward sweep` leaves them, without a training."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rm_core.scaling.series import TrialPoint
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scored_file import SCORED_FILE, write_scored


def trial_point(
    label: str, axes: Mapping[str, str], *, seed: int = 0, accuracy: float = 0.7, **changes: Any
) -> TrialPoint:
    """A point; `changes` are fields of it."""
    values: dict[str, Any] = {
        "overrides": {},
        "num_parameters": 1_000_000,
        "num_comparisons": 2000,
        "compute_flops": 1e13,
        "gpu_hours": 0.5,
        "cost": None,
        "log_loss": 1 - accuracy + 0.3,
        "train_loss": 0.6,
        "by_source": {"captions": accuracy + 0.02, "pairs": accuracy - 0.02},
        "mlflow_run_id": "0123456789abcdef0123456789abcdef",
    }
    number = hashlib.sha256(f"{label}/{seed}".encode()).hexdigest()[:12]
    return TrialPoint(id=number, label=label, axes=dict(axes), seed=seed, accuracy=accuracy, **(values | changes))


def sizes(
    labels: Sequence[str] = ("tiny", "small", "mid", "large"), seeds: Sequence[int] = (0, 1), exponent: float = 0.12
) -> list[TrialPoint]:
    """Sizes four times apart whose error and log-loss fall as power laws, with a percent of noise."""
    noise = np.random.default_rng(7)
    points = []
    for index, label in enumerate(labels):
        size = 1_000_000 * 4**index
        for seed in seeds:
            scatter = math.exp(0.01 * noise.standard_normal())
            error, loss = 0.33 * 4 ** (-exponent * index) * scatter, 0.62 * 4 ** (-0.08 * index) * scatter
            changes = {"num_parameters": size, "compute_flops": 12e3 * size, "gpu_hours": 0.05 * 3**index}
            point = trial_point(label, {"backbone": label}, seed=seed, accuracy=1 - error, log_loss=loss, **changes)
            points.append(point)
    return points


def write_sweep(
    folder: Path,
    points: Iterable[TrialPoint],
    *,
    others: Sequence[Mapping[str, Any]] = (),
    metric: str = "accuracy",
    scored: bool = False,
    **settings: Any,
) -> str:
    """Write a sweep's folder.

    Args:
        others: ``trial.json`` of trials that have not finished, with an id.
        scored: whether each trial keeps the rewards of 400 pairs, as many of them right as its accuracy says.
        settings: further keys of ``sweep.json``.
    """
    points = list(points)
    axes: dict[str, list[str]] = {}
    for point in points:
        for axis, label in point.axes.items():
            axes.setdefault(axis, [])
            axes[axis] += [label] if label not in axes[axis] else []
    told = {
        "schema_version": 1, "name": "sizes", "method": "grid", "axes": axes, "metric": metric, "mode": "max",
        "mlflow_run_id": "f" * 32, "report": None, "paper_table": None,
    }  # fmt: skip
    write_json(folder / "sweep.json", told | settings)
    for point in points:
        trial = folder / "trials" / point.id
        state = {key: getattr(point, key) for key in ("id", "label", "axes", "overrides", "seed", "mlflow_run_id")}
        write_json(trial / "trial.json", {**state, "state": "finished", "reason": "", "attempts": 1})
        write_json(trial / "point.json", point.to_json())
        if scored:
            write_scored(str(trial / "evaluate" / SCORED_FILE), rewards_of(point))
    for other in others:
        write_json(folder / "trials" / other["id"] / "trial.json", other)
    return str(folder)


def rewards_of(point: TrialPoint, num_pairs: int = 400) -> list[ScoredComparison]:
    """Pairs of which the easiest are right, with some that differ by seed."""
    draw = np.random.default_rng(point.seed)
    hardness = np.random.default_rng(100).random(num_pairs) + 0.05 * draw.standard_normal(num_pairs)
    right = hardness < np.quantile(hardness, point.accuracy)
    return [
        ScoredComparison(
            str(index),
            "captions" if index % 2 else "pairs",
            (1.0, 0.0) if good else (0.0, 1.0),
            (0, 1),
            (4, 5),
            index % 2,
            group=str(index),
        )
        for index, good in enumerate(right)
    ]


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
