"""The records that all sides of `benchmarks.preprocess` read: a real set where one is given, else a synthetic one.

Real: the MLLM-Bench pairs below $BASEREWARD_REAL_DATA (pairs of answers to questions about photographs, charts and
screenshots). Synthetic: pairs of random words about smooth random JPEG files of 640 x 480 to 1,600 x 1,200 pixels, an
image to about two records. Both are JSON lines with question, image, chosen, rejected.
"""

import json
import os
import shutil
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_pipeline.config import EncodeConfig, FieldMap, PreprocessConfig, SourceConfig
from data_pipeline.encoding.tokenizer import train_tokenizer

__all__ = ["MAX_PIXELS", "Work", "make_work", "repeated"]

MAX_PIXELS = 256 * 28 * 28
"""256 tokens an image at most."""
REAL_SET = Path("real") / "mllm_bench"
_SIZES = ((640, 480), (800, 600), (1024, 768), (1600, 1200))


@dataclass(frozen=True)
class Work:
    """Records on disk and how they are to be prepared.

    Attributes:
        name: what the records are.
        folder: what image paths start from.
        records: the file of records.
        count: Comparisons in it.
        tokenizer: the folder with ``tokenizer.json``.
    """

    name: str
    folder: str
    records: str
    count: int
    tokenizer: str

    def rows(self) -> list[dict[str, Any]]:
        """The records, parsed."""
        with open(self.records, encoding="utf8") as file:
            return [json.loads(line) for line in file]

    def images(self) -> list[str]:
        """The distinct image files that the records name."""
        return sorted({os.path.join(self.folder, row["image"]) for row in self.rows()})

    @property
    def input_bytes(self) -> int:
        """Bytes of the records and of their distinct images."""
        return os.path.getsize(self.records) + sum(os.path.getsize(path) for path in self.images())

    def config(self, output: str, rows_per_unit: int) -> PreprocessConfig:
        """Our side's config."""
        fields = FieldMap(prompt="question", image="image", chosen="chosen", rejected="rejected")
        source = SourceConfig(name="bench", path=self.records, media_root=self.folder, fields=fields)
        return PreprocessConfig(
            sources=[source],
            data_root="/",
            output=output,
            tokenizer=self.tokenizer,
            rows_per_unit=rows_per_unit,
            encode=EncodeConfig(max_pixels=MAX_PIXELS),
        )


def make_work(scratch: Path, *, count: int, tokenizer: str | None) -> Work:
    """The first `count` records of the real set, or so many synthetic ones.

    Args:
        scratch: a folder for what has to be written.
        tokenizer: a folder with Qwen2.5's ``tokenizer.json``; None: a small one is trained on the records.
    """
    root = os.environ.get("BASEREWARD_REAL_DATA")
    real = Path(root) / REAL_SET if root else None
    records = scratch / "records.jsonl"
    if real is not None and (real / "mllm_bench.jsonl").is_file():
        name, folder = "MLLM-Bench image pairs", real
        with open(real / "mllm_bench.jsonl", encoding="utf8") as file:
            lines = list(islice(file, count))
        records.write_text("".join(lines), encoding="utf8")
    else:
        name, folder = "synthetic image pairs", scratch
        lines = _synthetic(scratch, count)
        records.write_text("".join(lines), encoding="utf8")
    if tokenizer is None:
        tokenizer = str(scratch / "tokenizer")
        train_tokenizer([text for line in lines for text in json.loads(line).values()], 2048, tokenizer)
    return Work(name, str(folder), str(records), len(lines), tokenizer)


def repeated(work: Work, scratch: Path, times: int) -> Work:
    """The same records so many times over, each with copies of its own image files: as much more input to hold."""
    folder = scratch / f"times_{times}"
    rows = work.rows()
    for turn in range(times):
        for path in work.images():
            copy = folder / str(turn) / os.path.relpath(path, work.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    records = folder / "records.jsonl"
    with open(records, "w", encoding="utf8") as file:
        for turn in range(times):
            for row in rows:
                changed = {**row, "id": f"{turn}:{row['id']}", "image": f"{turn}/{row['image']}"}
                file.write(json.dumps(changed, ensure_ascii=False) + "\n")
    return Work(work.name, str(folder), str(records), work.count * times, work.tokenizer)


def _synthetic(scratch: Path, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=rng.integers(2, 9))) for _ in range(2000)]

    def text(median_words: int) -> str:
        return " ".join(rng.choice(words, size=max(1, int(rng.lognormal(np.log(median_words), 0.8)))))

    names = [_picture(scratch, rng, place) for place in range(max(1, count // 2))]
    rows = [
        {
            "id": str(i),
            "question": text(20),
            "image": names[i % len(names)],
            "chosen": text(90),
            "rejected": text(90),
        }
        for i in range(count)
    ]
    return [json.dumps(row) + "\n" for row in rows]


def _picture(scratch: Path, rng: np.random.Generator, place: int) -> str:
    """Smooth colours under some noise, so that JPEG has as much to code as in a photograph."""
    width, height = _SIZES[place % len(_SIZES)]
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    noisy = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    path = scratch / "images" / f"{place}.jpg"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(noisy).save(path, quality=88)
    return f"images/{place}.jpg"
