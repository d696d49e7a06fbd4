"""The largest row that fits: token budget and patch budget, each with the other as it is."""

from collections.abc import Callable
from dataclasses import replace

from rm_core.planner.architecture import Architecture
from rm_core.planner.gpus import Gpu
from rm_core.planner.memory import memory_of
from rm_core.planner.setting import Setting

__all__ = ["PATCH_STEP", "TOKEN_STEP", "largest_patch_budget", "largest_token_budget"]

TOKEN_STEP = 128
"""Rows are filled up to a multiple of this by the flex kernel."""
PATCH_STEP = 1024
_MOST = 1 << 20


def largest_token_budget(arch: Architecture, setting: Setting, gpu: Gpu) -> int:
    """The largest `token_budget` that fits, a multiple of `TOKEN_STEP` up to 2^20; 0: none does."""
    return _largest(lambda tokens: _fits(arch, replace(setting, token_budget=tokens), gpu), TOKEN_STEP)


def largest_patch_budget(arch: Architecture, setting: Setting, gpu: Gpu) -> int:
    """The largest `patch_budget` that fits, a multiple of `PATCH_STEP` up to 2^20; 0: none does."""
    return _largest(lambda patches: _fits(arch, replace(setting, patch_budget=patches), gpu), PATCH_STEP)


def _fits(arch: Architecture, setting: Setting, gpu: Gpu) -> bool:
    return memory_of(arch, setting).fits(gpu)


def _largest(fits: Callable[[int], bool], step: int) -> int:
    """By halving: what a row needs grows with it."""
    low, high = 0, _MOST // step + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * step) else (low, middle)
    return low * step
