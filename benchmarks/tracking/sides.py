"""One turn of one side of `benchmarks.tracking`: python -m benchmarks.tracking.sides SIDE ADDRESS STEPS METRICS.

Between two steps the thread multiplies matrices for some milliseconds, as a training does, so that a thread beside it
has to share the interpreter. Only the calls of the logger are timed; points a second count until the server has all.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import Any

import numpy as np

EXPERIMENT = "benchmark"
COMPUTE_S = 0.002

Log = Callable[[int, Mapping[str, float]], None]


def ours(address: str) -> tuple[str, Log, Callable[[], None]]:
    """The run's id, what logs a step, and what waits until all is sent."""
    from jobs.tracking.metric_logger import MetricLogger

    run_id = _new_run(address)
    logger = MetricLogger(address, run_id, patience_s=240)
    return run_id, logger.log, logger.close


def plain(address: str) -> tuple[str, Log, Callable[[], None]]:
    """`mlflow.log_metric` for each metric."""
    import mlflow

    run_id = _new_run(address)
    mlflow.set_tracking_uri(address)
    mlflow.start_run(run_id=run_id)

    def log(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            mlflow.log_metric(name, value, step=step)

    return run_id, log, mlflow.end_run


def lightning(address: str) -> tuple[str, Log, Callable[[], None]]:
    """Lightning's logger on a run of its own."""
    from lightning.pytorch.loggers import MLFlowLogger

    logger = MLFlowLogger(experiment_name=EXPERIMENT, tracking_uri=address)
    run_id = logger.run_id
    assert run_id is not None

    def log(step: int, values: Mapping[str, float]) -> None:
        logger.log_metrics(dict(values), step)

    return run_id, log, lambda: logger.finalize("success")


def measure(side: str, address: str, steps: int, metrics: int) -> dict[str, float]:
    """Milliseconds a step on this thread, and points a second.

    Raises:
        RuntimeError: a point is missing at the end.
    """
    sides: dict[str, Callable[[str], Any]] = {"ours": ours, "plain": plain, "lightning": lightning}
    run_id, log, close = sides[side](address)
    square = np.ones((256, 256))
    log(0, {"train/warm": 0.0})
    spent: list[float] = []
    start_s = time.perf_counter()
    for step in range(1, steps + 1):
        end_s = time.perf_counter() + COMPUTE_S
        while time.perf_counter() < end_s:
            square @ square  # the work of a step
        values = {f"train/metric_{index}": step / (index + 1) for index in range(metrics)}
        before_s = time.perf_counter()
        log(step, values)
        spent.append(time.perf_counter() - before_s)
    close()
    seconds = time.perf_counter() - start_s - steps * COMPUTE_S
    check(address, run_id, steps, metrics)
    cuts = quantiles(spent, n=100)
    return {
        "thread_ms": 1000 * sum(spent) / len(spent),
        "thread_median_ms": 1000 * median(spent),
        "thread_p99_ms": 1000 * cuts[98],
        "points_per_s": steps * metrics / seconds,
    }


def check(address: str, run_id: str, steps: int, metrics: int) -> None:
    """Every point is there."""
    from mlflow import MlflowClient

    for index in range(metrics):
        points = MlflowClient(address).get_metric_history(run_id, f"train/metric_{index}")
        if sorted(point.step for point in points) != list(range(1, steps + 1)):
            raise RuntimeError(f"metric {index}: {len(points)} points of {steps}")


def _new_run(address: str) -> str:
    from mlflow import MlflowClient

    client = MlflowClient(address)
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
    return str(client.create_run(experiment).info.run_id)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
