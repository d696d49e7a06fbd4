"""A workplace whose work units take about half a second each: pairs about large pictures, for tests that interrupt."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from workplace import ROOT, Workplace

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.pipeline import prepare
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe, with_absolute_paths

ROWS_PER_UNIT = 12


class PicturePairs(Workplace):
    """`num_units` units of one file of records, a picture each, and a tokenizer trained on them."""

    def __init__(self, folder: Path, num_units: int, side: int = 1500) -> None:
        self.folder = folder
        self.records = folder / "raw" / "pairs.jsonl"
        write_pairs(self.records, num_units * ROWS_PER_UNIT, side)
        recipe: dict[str, Any] = {
            "run_dir": str(folder),
            "data_root": str(folder / "raw"),
            "preprocess": {
                "rows_per_unit": ROWS_PER_UNIT,
                "sources": [{"name": "pictures", "path": "pairs.jsonl"}],
                "split": {"heldout_fraction": 0.2},
                "unit_retries": 1,
            },
        }
        train_tokenizer([self.records.read_text(encoding="utf8")], 400, str(folder / "model"))
        self.recipe = folder / "recipe.yaml"
        self.recipe.write_text(yaml.safe_dump(recipe), encoding="utf8")

    def start(self, name: str, *overrides: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """The command in a process of its own, with variables of its own."""
        return subprocess.Popen(
            self.command(name, *overrides), cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def load(self, *overrides: str) -> Recipe:
        """The recipe, for a command that runs in this process."""
        return load_recipe(str(self.recipe), list(overrides))

    def config(self, *overrides: str) -> PreprocessConfig:
        """The section of preprocessing as the command itself uses it."""
        return with_absolute_paths(self.load(*overrides).preprocess, "data_root", "output", "tokenizer")

    def undisturbed(self) -> dict[str, bytes]:
        """The files that preprocessing writes when nothing goes wrong, without Ray."""
        output = self.folder / "undisturbed"
        if not output.exists():
            prepare(self.config(f"preprocess.output={output}"))
        return outputs_of(output)


def write_pairs(records: Path, count: int, side: int) -> None:
    """`count` pairs, each about a picture of `side` by `side` pixels of its own."""
    (records.parent / "images").mkdir(parents=True)
    with open(records, "w", encoding="utf8") as file:
        for i in range(count):
            coarse = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
            picture.save(records.parent / "images" / f"{i}.jpg", quality=80)
            record = {
                "image": f"images/{i}.jpg",
                "prompt": f"What is on picture {i}?",
                "chosen": f"Patches of colour, number {i}.",
                "rejected": f"Nothing at all, {i}.",
            }
            file.write(json.dumps(record) + "\n")


def outputs_of(folder: Path | str) -> dict[str, bytes]:
    """Every file that the same input must give the same way: logs, failures, times and torn leftovers are left out."""
    names = {url.removeprefix(f"{folder}/"): url for url in storage.list_files(storage.join(str(folder), "**"))}
    return {
        name: storage.read_bytes(url)
        for name, url in names.items()
        if name.split("/")[0] not in ("logs", "failed", "media", "data.html")
    }


def mtimes_of(folder: Path, pattern: str) -> dict[str, int]:
    """When each file was last written, in nanoseconds."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob(pattern)}
