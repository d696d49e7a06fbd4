"""Commands of the product in a folder of a test, small enough for two cores."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = ("init_model.shape=nano", "cluster.num_cpus=2", "train.num_workers=2", "train.max_steps=6", "train.log_every=2")
"""Settings that make a packaged demo recipe small."""


def basereward(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "jobs", *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
