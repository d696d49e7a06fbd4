"""First-fit decreasing under two budgets, for many optimiser steps at once.

First-fit is sequential inside a step, and steps do not know each other: the loop runs over the positions of a step, and
each turn of it handles that position of all steps. The packs are those of the plain loop over one step, one for one.

Legend: S steps, G Comparisons a step, B packs of the step that needs most, P packs of all steps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Pack", "PackBudget", "Packs", "first_fit_decreasing", "pack_ragged", "pack_steps"]

Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class PackBudget:
    """What one packed row may hold at most."""

    tokens: int
    patches: int


@dataclass(frozen=True, slots=True)
class Pack:
    """The Comparisons of one packed row, as rows of the planning table; an empty pack is a rank's idle turn."""

    rows: tuple[int, ...]
    cost: float = 0.0
    """FLOPs of a forward pass."""


@dataclass(frozen=True, slots=True)
class Packs:
    """The packs of S steps as columns.

    Attributes:
        members: int64 [S * G], positions [0, S * G) pack by pack, in the order in which they were packed.
        pack_start: int64 [P + 1], where each pack's members begin.
        step_start: int64 [S + 1], where each step's packs begin.
    """

    members: npt.NDArray[np.int64]
    pack_start: npt.NDArray[np.int64]
    step_start: npt.NDArray[np.int64]

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Sum of `values` [S * G] over the members of each pack, added in their order: float64 [P]."""
        num_packs = len(self.pack_start) - 1
        pack_of = np.repeat(np.arange(num_packs), np.diff(self.pack_start))
        return np.asarray(np.bincount(pack_of, weights=values[self.members], minlength=num_packs), dtype=np.float64)


def pack_steps(tokens: Integers, patches: Integers, budget: PackBudget) -> Packs:
    """Pack each step's Comparisons; first-fit decreasing by tokens, ties in the order given.

    Args:
        tokens: [S, G], of each Comparison.
        patches: [S, G].

    Raises:
        ValueError: a Comparison alone exceeds a budget.
    """
    num_steps, size = tokens.shape
    if size == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return Packs(nothing, np.zeros(1, dtype=np.int64), np.zeros(num_steps + 1, dtype=np.int64))
    order, bins = first_fit_decreasing(tokens, patches, budget)
    # A stable sort by pack keeps the order of packing inside a pack.
    by_pack = np.argsort(bins, axis=1, kind="stable")
    members = np.take_along_axis(order, by_pack, axis=1) + np.arange(num_steps)[:, None] * size
    per_step = bins.max(axis=1).astype(np.int64) + 1
    step_start = np.concatenate([[0], np.cumsum(per_step)])
    sizes = np.bincount((bins + step_start[:-1, None]).ravel(), minlength=int(step_start[-1]))
    return Packs(members.ravel(), np.concatenate([[0], np.cumsum(sizes)]), step_start)


def pack_ragged(tokens: Integers, patches: Integers, filled: npt.NDArray[np.bool_], budget: PackBudget) -> Packs:
    """As `pack_steps` of steps that hold fewer Comparisons than others: `filled` [S, G] says which positions count.

    Every step holds at least one. What does not count is packed as nothing, which goes behind all else into the step's
    first pack, and is taken out of it.
    """
    if filled.all():
        return pack_steps(tokens, patches, budget)
    packs = pack_steps(np.where(filled, tokens, 0), np.where(filled, patches, 0), budget)
    stays = filled.ravel()[packs.members]
    num_packs = len(packs.pack_start) - 1
    pack_of = np.repeat(np.arange(num_packs), np.diff(packs.pack_start))
    sizes = np.bincount(pack_of[stays], minlength=num_packs)
    return Packs(packs.members[stays], np.concatenate([[0], np.cumsum(sizes)]), packs.step_start)


def first_fit_decreasing(
    tokens: Integers, patches: Integers, budget: PackBudget
) -> tuple[npt.NDArray[np.int64], Integers]:
    """Positions of each step by falling tokens, and the pack that each of them goes to: both [S, G].

    Raises:
        ValueError: a Comparison alone exceeds a budget.
    """
    if int(tokens.max()) > budget.tokens or int(patches.max()) > budget.patches:
        raise ValueError(f"a Comparison of {int(tokens.max())} tokens or {int(patches.max())} patches exceeds {budget}")
    num_steps, size = tokens.shape
    order = _by_falling(tokens)
    tokens_of = np.ascontiguousarray(np.take_along_axis(tokens, order, axis=1).T, dtype=np.int32)
    patches_of = np.ascontiguousarray(np.take_along_axis(patches, order, axis=1).T, dtype=np.int32)
    bins = np.empty((size, num_steps), dtype=np.int16 if size < 2**15 else np.int32)  # 16 bits sort in linear time
    steps = np.arange(num_steps)
    # [B, S]; the last pack is open in no step, so a Comparison that fits nowhere else fits there.
    token_room = np.full((1, num_steps), budget.tokens, dtype=np.int32)
    patch_room = np.full((1, num_steps), budget.patches, dtype=np.int32)
    for position in range(size):
        fits = (token_room >= tokens_of[position]) & (patch_room >= patches_of[position])
        first = fits.argmax(axis=0)
        token_room[first, steps] -= tokens_of[position]
        patch_room[first, steps] -= patches_of[position]
        bins[position] = first
        if (first == len(token_room) - 1).any():
            token_room = np.vstack([token_room, np.full((1, num_steps), budget.tokens, dtype=np.int32)])
            patch_room = np.vstack([patch_room, np.full((1, num_steps), budget.patches, dtype=np.int32)])
    return order, np.ascontiguousarray(bins.T)


def _by_falling(tokens: Integers) -> npt.NDArray[np.int64]:
    """Positions of each row by falling tokens, ties by position: one sort of (tokens, position) in one word."""
    size = tokens.shape[1]
    bits = max(1, (size - 1).bit_length())
    words: npt.NDArray[np.int64] = (-tokens.astype(np.int64) << bits) | np.arange(size)
    words.sort(axis=1)
    words &= (1 << bits) - 1
    return words
