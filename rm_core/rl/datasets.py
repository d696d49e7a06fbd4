"""Prompts as data sets of the library `datasets`, which TRL reads: on disk, pictures decoded when a step needs them."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from datasets import Dataset, Features, Image, List, Value

from rm_core.rl.prompts import Prompt, Turns, as_texts

__all__ = ["asked", "taught"]

_PART = {"type": Value("string"), "text": Value("string")}
_PICTURES = List(Image())


def asked(prompts: Sequence[Prompt], cache: str, *, pictures: bool) -> Dataset:
    """What is asked, and by which key rewards find the prompt.

    Args:
        cache: a folder of this process.
        pictures: whether the policy reads pictures; else contents are texts.
    """

    def rows() -> Iterator[dict[str, Any]]:
        for one in prompts:
            yield {"prompt": _turns(one.turns, pictures), **_shown(one, pictures), "key": one.key}

    return _made(rows, {"key": Value("string")}, cache, pictures)


def taught(prompts: Sequence[Prompt], cache: str, *, pictures: bool, answers: str, seed: int) -> Dataset:
    """What the warm-up learns to write: one row an answer, in a random order that `seed` decides.

    Args:
        answers: ``best`` or ``all``.
    """
    pairs = [(one, text) for one in prompts for text in (one.answers if answers == "all" else one.answers[:1])]
    random.Random(seed).shuffle(pairs)

    def rows() -> Iterator[dict[str, Any]]:
        for one, text in pairs:
            said = [{"type": "text", "text": text}] if pictures else text
            yield {
                "prompt": _turns(one.turns, pictures),
                **_shown(one, pictures),
                "completion": [{"role": "assistant", "content": said}],
            }

    return _made(rows, {"completion": _said(pictures)}, cache, pictures)


def _made(rows: Any, more: dict[str, Any], cache: str, pictures: bool) -> Dataset:
    shown = {"images": _PICTURES} if pictures else {}
    features = Features({"prompt": _said(pictures), **shown, **more})
    return Dataset.from_generator(rows, features=features, cache_dir=cache, keep_in_memory=False)


def _said(pictures: bool) -> Any:
    return List({"role": Value("string"), "content": List(_PART) if pictures else Value("string")})


def _shown(prompt: Prompt, pictures: bool) -> dict[str, Any]:
    return {"images": [{"bytes": data, "path": None} for data in prompt.images]} if pictures else {}


def _turns(turns: Turns, pictures: bool) -> Turns:
    """A column has the same fields in every part."""
    if not pictures:
        return as_texts(turns)
    return [{"role": one["role"], "content": [{"text": None, **part} for part in one["content"]]} for one in turns]
