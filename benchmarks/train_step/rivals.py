"""The public trainers on the Comparisons of `benchmarks.train_step`, by interpreters that have them installed.

    trl        TRL's RewardTrainer, text pairs, a Qwen2 of the same decoder: it reads no images here
    ms_swift   ms-swift's reward-model training, image pairs, the same Qwen2.5-VL

Each runs alone, after our sides, over the same Comparisons in the same order: whole steps, after one of warm-up.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.padded_rows import MICRO_BATCH
from benchmarks.train_step.records import MAX_PIXELS
from benchmarks.train_step.sides import ModelSize
from benchmarks.train_step.turns import STEP_BATCH
from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.tokenizer import load_tokenizer
from rm_core.model.config import InitModelConfig
from rm_core.model_folder.initialise import initialise_model

__all__ = ["RIVAL_OF", "installed", "run_rival"]

LIMIT_S = 1800
"""A rival that takes longer hangs."""
RIVAL_OF = {"text": "trl", "k2_images": "ms_swift"}
"""Case -> the rival that can train on it."""
_IMPORTS = {"trl": "trl", "ms_swift": "swift"}
_SCRIPTS = {"trl": "rival_trl.py", "ms_swift": "rival_swift.py"}  # not called as the packages that they import


def installed(rival: str, python: str) -> bool:
    """Whether the interpreter has the rival; nothing is imported."""
    script = f"import sys; from importlib.util import find_spec as f; sys.exit(f({_IMPORTS[rival]!r}) is None)"
    return subprocess.run([python, "-c", script], capture_output=True, check=False).returncode == 0


def run_rival(
    rival: str, python: str, comparisons: Sequence[EncodedComparison], size: ModelSize, tokenizer: str, *, threads: int
) -> dict[str, Any]:
    """Seconds and CPU seconds a Comparison, peak memory in GB, steps and version of a rival.

    Args:
        comparisons: pairs, whole steps of `STEP_BATCH`; the first step is warm-up.
        tokenizer: a folder with ``tokenizer.json``.

    Raises:
        RuntimeError: the rival failed; the message ends with what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="basereward-rival-") as name:
        folder = Path(name)
        job = {
            "threads": threads, "micro_batch": MICRO_BATCH, "accumulation": STEP_BATCH // MICRO_BATCH,
            "max_pixels": MAX_PIXELS, **_WRITERS[rival](folder, comparisons, size, tokenizer),
        }  # fmt: skip
        (folder / "job.json").write_text(json.dumps(job), encoding="utf8")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(
            [python, str(Path(__file__).with_name(_SCRIPTS[rival])), name],
            capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment,
        )  # fmt: skip
    if done.returncode:
        printed = f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        raise RuntimeError(f"{rival} of {python} ended with {done.returncode}:\n{printed}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _write_tokens(
    folder: Path, comparisons: Sequence[EncodedComparison], size: ModelSize, tokenizer: str
) -> dict[str, Any]:
    """Rows of tokens for TRL, and the decoder's numbers."""
    rows = []
    for item in comparisons:
        better, worse = (item.prefix_ids.tolist() + item.response_ids[place].tolist() for place in _order(item))
        rows.append({"chosen_ids": better, "rejected_ids": worse})
    _write_rows(folder, rows)
    text = size.config().text_config
    names = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "initializer_range",
    )  # fmt: skip
    special = {"pad_token_id": size.special_ids["<|endoftext|>"], "tie_word_embeddings": False}
    config = {**{name: getattr(text, name) for name in names}, **special}
    return {"config": config, "tokenizer": os.path.join(tokenizer, "tokenizer.json")}


def _write_dialogues(
    folder: Path, comparisons: Sequence[EncodedComparison], size: ModelSize, tokenizer: str
) -> dict[str, Any]:
    """ms-swift's records with their images, and a model folder of random weights."""
    config = InitModelConfig(output=str(folder / "model"), shape=size.shape, tokenizer=tokenizer)
    reading = PreprocessConfig(encode=EncodeConfig(max_pixels=MAX_PIXELS))
    initialise_model(config, reading, train_tokenizer=lambda _: None)
    decode = load_tokenizer(tokenizer).decode
    rows = []
    for number, item in enumerate(comparisons):
        paths = [str(folder / f"{number}-{place}.image") for place in range(len(item.pictures))]
        for path, image in zip(paths, item.pictures, strict=True):
            Path(path).write_bytes(image.data)
        better, worse = (decode(item.response_ids[place][:-1].tolist()) for place in _order(item))
        question = "<image>" * len(paths) + decode(_question_ids(item, size.special_ids))
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": better}]
        rows.append({"messages": turns, "rejected_response": worse, "images": paths})
    _write_rows(folder, rows)
    return {}


_WRITERS: dict[str, Callable[..., dict[str, Any]]] = {"trl": _write_tokens, "ms_swift": _write_dialogues}


def _question_ids(item: EncodedComparison, special_ids: Mapping[str, int]) -> list[int]:
    """The text behind the images of the one user turn that this set's prompts have."""
    ids: list[int] = item.prefix_ids.tolist()
    start = len(ids) - ids[::-1].index(special_ids["<|vision_end|>"])
    return ids[start : ids.index(special_ids["<|im_end|>"], start)]


def _order(item: EncodedComparison) -> tuple[int, int]:
    """Places of the better and the worse response of a pair."""
    return (0, 1) if item.ranks[0] < item.ranks[1] else (1, 0)


def _write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf8")
