"""vLLM as a writer, in a process of its own, with a second copy of the weights.

    VllmWriter --lines of JSON--> vllm_worker.py, run by a Python that has vLLM --a pipe--> tokens

vLLM wants other versions of packages than a training does, so its Python may be another one. Prompts are sent as
tokens, with one pad for each picture, of which vLLM makes as many as the picture needs, and pictures as the pixels that
the model sees: vLLM resizes none of them.
"""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import PIL.Image
import torch

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.encoded import EncodedComparison, spans_of_parts
from data_pipeline.encoding.spans import EncodedVideo, VisionSpan
from data_pipeline.encoding.tokenizer import ChatTokenizer
from data_pipeline.errors import RecipeError, RecordError, RunError
from data_pipeline.media import resized_rgb
from rm_core.generation import vllm_worker
from rm_core.generation.config import SamplingConfig
from rm_core.generation.interface import END, WritingTooLong, Written, forbidden, opened, seed_of, written_of
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.processor_files import write_processor_files

__all__ = ["VllmWriter", "prompts_of"]

_NOT_LINKED = ("reward_head.safetensors", "preprocessor_config.json", "chat_template.jinja")
"""Files of the model that vLLM would take for weights of its own, and those that are written as the model reads."""
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
_ON_CPUS = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""GiB of keys and values, and no thread bound to a core: other processes compute beside it."""
_SHOWN_CHARS = 600
_LAST_WORDS_S = 10.0
"""For which a process that answers no more may write why."""


class VllmWriter:
    """A `Writer`; its process starts with it, and again where it has died.

    Args:
        folder: the model, a local one.
        model: the same, loaded: its shapes count.
        tokenizer: of its folder.
        encode: how it reads records.
        config: how tokens are sampled, by which Python.
        max_length: tokens of a prompt and what is written behind it.
        key: of the recipe's section that `config` is, for messages.

    Raises:
        RunError: vLLM does not start; the message has its last words.
    """

    def __init__(
        self,
        folder: str,
        model: RewardModel,
        tokenizer: ChatTokenizer,
        encode: EncodeConfig,
        config: SamplingConfig,
        max_length: int,
        key: str = "critiques",
    ) -> None:
        if model.lm_head is None:
            raise ValueError("the model has no language head: it cannot write")
        self._tokenizer = tokenizer
        self._config, self._key = config, key
        place = tempfile.mkdtemp(prefix="basereward-vllm-")
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        self._log = Path(place, "log")
        self._process: _Process | None = None
        view = os.path.join(place, "model")
        sees = model.family.has_vision
        self._max_length = min(max_length, _positions(model))
        _write_view(view, folder, encode, sees=sees)
        settings = {
            "model_type": model.family.model_type,
            "engine": _engine(view, config, self._max_length, sees=sees),
            "sampling": _sampling(config, tokenizer, len(model.lm_head.weight)),
        }
        self._settings = os.path.join(place, "settings.json")
        Path(self._settings).write_text(json.dumps(settings), encoding="utf8")
        self._started()

    def write(
        self, item: EncodedComparison, *, blank: bool = False, until_s: float | None = None
    ) -> list[list[Written]]:
        """Texts behind each branch, in the order of the responses; see `Writer`.

        Raises:
            WritingTooLong: it is `until_s`.
            RecipeError: with what is written it may be longer than `max_length`.
            RecordError: unsupported_media: it has a video.
            RunError: vLLM's process died.
        """
        tokens = self.tokens(item, blank=blank, until_s=until_s)
        return [[written_of(ids, self._tokenizer) for ids in of_branch] for of_branch in tokens]

    def tokens(
        self, item: EncodedComparison, *, blank: bool = False, until_s: float | None = None
    ) -> list[list[list[int]]]:
        """The tokens of these texts, of each branch those of all texts, up to and with the closing one."""
        item, key = opened(item), self._key
        if (most := item.length + self._config.max_tokens) > self._max_length:
            raise RecipeError(
                f"Comparison {item.id!r} has {item.length} tokens in front of what is written, "
                f"{key}.max_tokens={self._config.max_tokens} at most: {most}, and vLLM was started for "
                f"{self._max_length}; raise token_budget, or lower max_tokens"
            )
        prompts = list(prompts_of(item, self._tokenizer, self._config.seed, blank=blank, key=key))
        seconds = None if until_s is None else max(0.0, until_s - time.monotonic())
        answer = self._started().ask({"prompts": prompts, "seconds": seconds})
        if answer is None:
            raise self._died()
        if answer.get("late"):
            raise WritingTooLong
        return cast("list[list[list[int]]]", answer["tokens"])

    def _started(self) -> "_Process":
        if self._process is None:
            process = _Process(self._config.vllm_python or sys.executable, self._settings, self._log)
            weakref.finalize(self, process.end)
            self._process = process
            if process.answer() is None:
                raise self._died()
        return self._process

    def _died(self) -> RunError:
        """What to say of it; the next text starts another process."""
        assert self._process is not None
        self._process.end(patience_s=_LAST_WORDS_S)
        self._process = None
        said = " ".join(self._log.read_text(encoding="utf8", errors="replace")[-_SHOWN_CHARS:].split())
        return RunError(
            f"vLLM's process ended: ...{said}; {self._key}.vllm_python names the Python that has vLLM, "
            f"{self._config.vllm_python or sys.executable} here, and {self._key}.writer=transformers does "
            "without"
        )


def prompts_of(
    item: EncodedComparison, tokenizer: ChatTokenizer, seed: int, *, blank: bool = False, key: str = "critiques"
) -> Iterator[dict[str, Any]]:
    """What vLLM is asked about an open Comparison, a prompt a branch: tokens, pictures in base64, and a seed.

    Args:
        key: of the recipe's section, for messages.

    Raises:
        RecordError: unsupported_media: it has a video.
    """
    pad = tokenizer.image_token
    in_prefix, *in_branches = spans_of_parts(item, (pad, tokenizer.video_token))
    seed = seed_of(seed, (item.prefix_ids,))
    for ids, spans in zip(item.response_ids, in_branches, strict=True):
        row = np.concatenate([item.prefix_ids, ids])
        goes_on = (row[1:] == pad) & (row[:-1] == pad)
        yield {
            "ids": row[np.concatenate([[True], ~goes_on])].tolist(),
            "images": [_png(span, blank, key) for span in (*in_prefix, *spans)],
            "seed": seed_of(seed, (ids,)),
        }


class _Process:
    """vLLM's process, and the pipe of its answers."""

    def __init__(self, python: str, settings: str, log: Path) -> None:
        read, write = os.pipe()
        on_cpus = {} if torch.cuda.is_available() else _ON_CPUS
        with log.open("wb") as told:
            self._running = subprocess.Popen(
                [python, vllm_worker.__file__, settings, str(write)], stdin=subprocess.PIPE, stdout=told, stderr=told,
                pass_fds=[write], env={"PYTHONPATH": "", **on_cpus, **os.environ, **_ENVIRONMENT}, text=True,
            )  # fmt: skip
        os.close(write)
        self._answers = os.fdopen(read, encoding="utf8")

    def ask(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """What it answers; None: it has died."""
        assert self._running.stdin is not None
        try:
            self._running.stdin.write(json.dumps(asked) + "\n")
            self._running.stdin.flush()
        except BrokenPipeError:
            return None
        return self.answer()

    def answer(self) -> dict[str, Any] | None:
        """Its next line."""
        line = self._answers.readline()
        return json.loads(line) if line else None

    def end(self, patience_s: float = 0.0) -> None:
        """Kill it, unless it ends by itself in `patience_s`."""
        if self._running.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self._running.wait(patience_s)
            self._running.kill()
        self._running.wait()
        self._answers.close()
        with suppress(BrokenPipeError):  # of a line that it did not read
            if self._running.stdin is not None:
                self._running.stdin.close()


def _write_view(view: str, folder: str, encode: EncodeConfig, *, sees: bool) -> None:
    """A folder as vLLM reads it, of links: the language model alone, and limits that resize no picture."""
    os.makedirs(view)
    for name in sorted(os.listdir(folder)):
        if name not in _NOT_LINKED:
            os.symlink(os.path.abspath(os.path.join(folder, name)), os.path.join(view, name))
    write_processor_files(view, encode, images=sees)


def _positions(model: RewardModel) -> int:
    return int(model.family.text_config(model.backbone.config).max_position_embeddings)


def _engine(view: str, config: SamplingConfig, max_length: int, *, sees: bool) -> dict[str, Any]:
    on_gpu = torch.cuda.is_available()
    more: dict[str, Any] = {"limit_mm_per_prompt": {"video": 0}} if sees else {}
    return more | {
        "model": view,
        "dtype": "bfloat16" if on_gpu else "float32",
        "enforce_eager": not on_gpu,
        "max_model_len": max_length,
        "gpu_memory_utilization": config.vllm_memory,
        "generation_config": "vllm",
    }


def _sampling(config: SamplingConfig, tokenizer: ChatTokenizer, vocabulary: int) -> dict[str, Any]:
    never = set(forbidden(tokenizer, vocabulary))
    return {
        "n": config.number,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_tokens": config.max_tokens,
        "stop_token_ids": [tokenizer.special_ids[END]],
        "allowed_token_ids": [token for token in range(vocabulary) if token not in never],
        "detokenize": False,
    }


def _png(span: VisionSpan, blank: bool, key: str) -> str:
    """A picture at the size that the model sees, in base64."""
    if isinstance(span, EncodedVideo):
        raise RecordError(
            "unsupported_media", f"a video, and {key}.writer=vllm is shown pictures alone: take transformers"
        )
    if blank:
        pixels = np.full((span.height, span.width, 3), 128, dtype=np.uint8)
    else:
        pixels = resized_rgb(span.data, span.height, span.width)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()
