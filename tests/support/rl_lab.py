"""A folder in which drills run the commands of reinforcement learning as a user would, and kill them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import child_process
import yaml
from safetensors.torch import load_file
from workplace import ROOT, kill_tree

__all__ = ["RlLab", "lineage", "widest_difference"]


class RlLab:
    """A recipe of a folder, and its commands.

    Args:
        sections: of the recipe, beside its name and its places.
    """

    def __init__(self, folder: Path, sections: Mapping[str, Any]) -> None:
        self.folder = folder
        places = {"run_dir": str(folder / "run"), "data_root": str(folder / "raw"), "cluster": {"num_cpus": 2}}
        self.recipe = folder / "lab.yaml"
        self.recipe.write_text(yaml.safe_dump({"name": "lab", **places, **sections}))

    def start(self, command: str, *words: str) -> subprocess.Popen[str]:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        words = (sys.executable, "-m", "jobs", command, str(self.recipe), *words)
        return child_process.start(words, cwd=self.folder, env=env)

    def run(self, command: str, *words: str) -> str:
        """What it printed; it has to succeed."""
        process = self.start(command, *words)
        printed, _ = process.communicate(timeout=800)
        assert process.returncode == 0, printed
        return printed

    def start_until_checkpoint(self, output: Path, step: int, *words: str) -> subprocess.Popen[str]:
        """`rl` under way, once it has a checkpoint of `step`."""
        process = self.start("rl", *words, f"rl.output={output}")
        until_s = time.monotonic() + 600
        while not (output / "checkpoints" / f"step-{step:08d}" / "COMPLETE.json").exists():
            if time.monotonic() > until_s and process.poll() is None:
                kill_tree(process.pid)
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.2)
        return process


def lineage(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "export" / "model.json").read_text())["lineage"]
    return found


def widest_difference(one: Path, other: Path) -> float:
    """Of the weights of two model folders, which have the same names."""
    found, expected = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert found.keys() == expected.keys()
    return max(float((found[name] - tensor).abs().max()) for name, tensor in expected.items())
