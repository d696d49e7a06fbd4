"""The two parts of a layer around its attention, compiled by PyTorch: pointwise work in a few kernels in place of many.

    before attention   norm, queries, keys, values, rotary positions
    after attention    output, residual, norm, MLP, residual

They are functions of tensors with any length, so one graph each serves all layers of a kind and all rows. Nothing in
them may break the graph (`fullgraph`): weights are gathered, and hooks run, at the layer's border. Ansel et al. 2024,
"PyTorch 2" (doi 10.1145/3620665.3640366).
"""

import os
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._dynamo import config as dynamo
from torch._dynamo import maybe_mark_dynamic

from data_pipeline.errors import RecipeError
from rm_core.model.rotary import Tables

__all__ = ["BACKEND", "COMPILE", "after_attention", "before_attention", "compiles"]

COMPILE = ("auto", "parts", "none")
"""What is compiled: `parts` of every layer, nothing, or by itself: parts where the model is on a GPU."""

BACKEND = "inductor"
"""Who makes kernels of the graphs."""

Wrap = Callable[..., Any]
"""(method, arguments) -> what the method gives; what it keeps for its backward pass is for the wrapper to say."""


def compiles(which: str, device: torch.device) -> bool:
    """Whether parts are compiled on `device` where a recipe says `which`.

    Raises:
        RecipeError: another word, or this machine cannot compile: nothing else runs in its place.
    """
    if which not in COMPILE:
        raise RecipeError(f"train.compile={which!r} is unknown; choose one of {', '.join(COMPILE)}")
    if which == "none" or (which == "auto" and device.type != "cuda"):
        return False
    if reason := _why_not(device):
        raise RecipeError(f"train.compile={which!r} cannot run here: {reason}; or set train.compile=none")
    return True


def _why_not(device: torch.device) -> str:
    if dynamo.disable:
        return "TORCH_COMPILE_DISABLE or TORCHDYNAMO_DISABLE is set in the environment: unset it"
    if device.type == "cpu" and BACKEND == "inductor" and not any(map(shutil.which, _compilers())):
        return f"on a CPU it needs a C++ compiler, and none of {', '.join(_compilers())} is there: install one"
    return ""


def _compilers() -> list[str]:
    return [name for name in (os.environ.get("CXX"), "g++", "clang++") if name]


def before_attention(wrap: Wrap, layer: Any, hidden: Tensor, tables: Tables) -> Sequence[Tensor]:
    """Query, key and value, from hidden states [T, E]."""
    _any_length(hidden, *tables)
    heads: Sequence[Tensor] = _compiled(_before)(wrap, layer, hidden, tables)
    return heads


def after_attention(wrap: Wrap, layer: Any, hidden: Tensor, attended: Tensor) -> Tensor:
    """The layer's output, from hidden states [T, E] and what attention gave [T, heads, D]."""
    _any_length(hidden, attended)
    output: Tensor = _compiled(_after)(wrap, layer, hidden, attended)
    return output


def _any_length(*values: Tensor) -> None:
    """The graph shall take any length of the first axis, and the other sizes as they are.

    `dynamic=True` would let all sizes vary: then PyTorch makes another graph where a weight has a gradient already, as
    in all rows of a step but the first, and takes a row as long as the hidden size for a special case.
    """
    for value in values:
        maybe_mark_dynamic(value, 0)


def _before(wrap: Wrap, layer: Any, *arguments: Any) -> Any:
    _check_compiling()
    return wrap(layer.before_attention, *arguments)


def _after(wrap: Wrap, layer: Any, *arguments: Any) -> Any:
    _check_compiling()
    return wrap(layer.after_attention, *arguments)


def _check_compiling() -> None:
    """These lines are read by the compiler and never run, unless it is off."""
    if not torch.compiler.is_compiling():
        raise RuntimeError(
            "torch.compile did not compile a part of a layer, which would run as if train.compile were none: a mode "
            "of PyTorch that it does not know is on; set train.compile=none"
        )


@cache
def _compiled(part: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(part, fullgraph=True, backend=BACKEND)
