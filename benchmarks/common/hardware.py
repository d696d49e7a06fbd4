"""What every figure depends on, said the same way by all benchmarks."""

import os
import platform
from importlib.metadata import version
from typing import Any

__all__ = ["hardware"]


def hardware(*packages: str, **facts: Any) -> dict[str, Any]:
    """The machine, its load at this moment and the versions of what does the work.

    Args:
        packages: names of installed distributions, such as "numpy".
        facts: what else the figures of this benchmark depend on: a device, threads, a type of numbers.
    """
    return {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average_1_min": os.getloadavg()[0],
        "python": platform.python_version(),
        **facts,
        **{package: version(package) for package in packages},
    }
