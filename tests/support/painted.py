"""Preferences over pictures in ImageReward's own form: one text, pictures made from it, the rank of each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 200), "yellow": (220, 200, 60)}


def write_painted(folder: Path, count: int, *, side: int = 56) -> Path:
    """``folder/pairs.jsonl`` and its pictures below ``images``: the one of the asked colour is best.

    A record has three or four pictures of one size; ranks have ties and gaps, and some PNG files are called .jpg.
    """
    random, lines = np.random.default_rng(0), []
    for place in range(count):
        asked = list(COLOURS)[place % len(COLOURS)]
        others = [name for name in COLOURS if name != asked]
        shown = [*others[: 2 + place % 2], asked]
        ranking = [*[4, 4, 2][: len(shown) - 1], 1]
        turned = random.permutation(len(shown))
        paths = [_paint(folder, f"images/{place:06d}-{k:04d}", COLOURS[shown[k]], random, side) for k in turned]
        record: dict[str, Any] = {"id": f"{place:06d}-0035", "prompt": f"a {asked} bird, oil on canvas"}
        lines.append(json.dumps(record | {"generations": paths, "ranking": [ranking[k] for k in turned]}))
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def _paint(folder: Path, name: str, colour: tuple[int, int, int], random: np.random.Generator, side: int) -> str:
    """A picture of that colour, in uneven light; its path from `folder`."""
    light = np.linspace(0.6, 1.1, side)[:, None, None] * random.uniform(0.8, 1.1, (1, side, 1))
    pixels = np.clip(light * np.array(colour), 0, 255).astype(np.uint8)
    path = folder / f"{name}.{'png' if name.endswith('0') else 'jpg'}"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return str(path.relative_to(folder))
