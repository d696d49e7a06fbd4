"""What a sweep found: the points of its finished trials as a table."""

import csv
import io
import json
from typing import Any

from data_pipeline.storage import exists, join, list_folders, read_bytes, write_atomic
from jobs.tracking import Tracker
from rm_core.scaling.points import TrialPoint

__all__ = ["write_sweep_report"]


def write_sweep_report(folder: str, tracker: Tracker | None) -> None:
    """Write ``report/points.csv`` below `folder`, and log it to the run of `tracker`.

    Args:
        folder: of a sweep, with ``sweep.json`` and ``trials/ID/point.json``.
        tracker: of the sweep's own run; None: nothing is logged.
    """
    urls = [join(trial, "point.json") for trial in list_folders(join(folder, "trials"))]
    points = [TrialPoint.from_json(json.loads(read_bytes(url))) for url in urls if exists(url)]
    text = io.StringIO()
    rows = [_row(point) for point in points]
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(join(folder, "report", "points.csv"), text.getvalue().encode())
    if tracker is not None:
        tracker.log_text(text.getvalue(), "report/points.csv")


def _row(point: TrialPoint) -> dict[str, Any]:
    row = point.to_json()
    for name in ("axes", "overrides", "by_source"):
        row |= {f"{name}.{key}": value for key, value in row.pop(name).items()}
    return row
