"""Figures of `benchmarks.train_step` from the turns of its sides."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.train_step.counts import counts, flop_ratio
from benchmarks.train_step.prompts import PROMPTS
from benchmarks.train_step.sides import ModelSize
from benchmarks.train_step.turns import SIDES, Given, Steps, Turn
from data_pipeline.encoding.encoder import EncodedComparison

__all__ = ["Turns", "figures_of", "show", "summary"]

Turns = dict[str, list[Turn]]


def figures_of(turns: Turns, given: Sequence[Given], size: ModelSize) -> dict[str, Any]:
    """Figures of one case; ratios are medians over the turns of each turn's ratio."""
    flat, packed = [item for turn in given for item in turn.records], [item for turn in given for item in turn.packed]
    figures: dict[str, Any] = {"comparisons": len(flat), **counts(flat, packed)}
    for name, found in turns.items():
        count = len(flat)
        figures[f"{name}_s"] = sum(turn.seconds for turn in found) / count
        figures[f"{name}_all_s"] = [turn.seconds / len(one.records) for turn, one in zip(found, given, strict=True)]
        figures[f"{name}_cpu_s"] = sum(turn.cpu_s for turn in found) / count
        figures[f"{name}_prepare_s"] = sum(step.prepare_s for turn in found for step in turn.steps) / count
    for name, ending in (("reference", ""), ("grouped", "_grouped")):
        pairs = list(zip(turns["ours"], turns[name], strict=True))
        bounds = [_bound(getattr(one, name), one.packed, size) for one in given]
        figures[f"ratio{ending}"] = median(their.seconds / our.seconds for our, their in pairs)
        figures[f"cpu_ratio{ending}"] = median(their.cpu_s / our.cpu_s for our, their in pairs)
        figures[f"flops_ratio{ending}"] = median(bounds)
        figures[f"of_bound{ending}"] = median(
            their.seconds / our.seconds / bound for (our, their), bound in zip(pairs, bounds, strict=True)
        )
    figures["ours_peak_gb"] = max(turn.peak_bytes for turn in turns["ours"]) / 1e9
    # Of its first turn, which comes before the first of "grouped" in the same process.
    figures["reference_peak_gb"] = turns["reference"][0].peak_bytes / 1e9
    figures["peak_memory_ratio"] = figures["ours_peak_gb"] / figures["reference_peak_gb"]
    return figures | same_start(turns)


def _bound(steps: Steps, packed: Sequence[EncodedComparison], size: ModelSize) -> float:
    return flop_ratio([item for step in steps for item in step], size, packed)


def same_start(turns: Turns) -> dict[str, float]:
    """How far the first step's rewards and gradient norms are apart: both sides begin with the same weights.

    The warm-up step of one Comparison lies before it, with the same gradient on both sides but for rounding.
    """
    ours, theirs = turns["ours"][0].steps[0], turns["reference"][0].steps[0]
    pairs = zip(ours.rewards, theirs.rewards, strict=True)
    return {
        "max_reward_difference": max(float((a - b).abs().max()) for a, b in pairs),
        "gradient_norm_difference": abs(ours.gradient_norm / theirs.gradient_norm - 1),
    }


def summary(cases: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures by name, those that have goals first."""
    figures: dict[str, Any] = {}
    for ending in ("", "_grouped"):
        for kind in ("ratio", "cpu_ratio", "flops_ratio", "of_bound"):
            for name, found in cases.items():
                figures[f"{kind}_{name}{ending}"] = found[f"{kind}{ending}"]
        # A step of one prompt is short beside its AdamW, which is the same on every side and in no bound.
        bounds = [found[f"of_bound{ending}"] for name, found in cases.items() if name != PROMPTS]
        if bounds:
            figures[f"of_bound_min{ending}"] = min(bounds)
    figures["ratio_peak_memory"] = max(found["peak_memory_ratio"] for found in cases.values())
    figures["max_reward_difference"] = max(found["max_reward_difference"] for found in cases.values())
    figures["gradient_norm_difference"] = max(found["gradient_norm_difference"] for found in cases.values())
    detail = {f"{name}.{key}": value for name, found in cases.items() for key, value in found.items()}
    return figures | detail


def show(cases: dict[str, dict[str, Any]]) -> None:
    """A table for people."""
    columns = ("s", "cpu_s", "peak_gb")  # of memory, "grouped" has no figure of its own
    heads = (*columns, "tokens", "ratio", "in cpu", "FLOPs")
    print(f"{'a Comparison':22}" + "".join(f"{head:>10}" for head in heads))
    for name, found in cases.items():
        for side, tokens, ending in zip(SIDES, ("", "_reference", "_grouped"), (None, "", "_grouped"), strict=True):
            values = [found.get(f"{side}_{column}") for column in columns]
            cells = ["" if value is None else f"{value:.2f}" for value in values] + [f"{found[f'tokens{tokens}']:.0f}"]
            if ending is not None:
                cells += [f"{found[f'{kind}{ending}']:.2f}" for kind in ("ratio", "cpu_ratio", "flops_ratio")]
            print(f"{name + ' ' + side:22}" + "".join(f"{cell:>10}" for cell in cells))
        for rival in [key.removesuffix("_version") for key in found if key.endswith("_version")]:
            cells = [f"{found[f'{rival}_{column}']:.2f}" for column in columns] + [""]
            cells += [f"{found[f'{kind}_{rival}']:.2f}" for kind in ("ratio", "cpu_ratio")]
            print(f"{name + ' ' + rival:22}" + "".join(f"{cell:>10}" for cell in cells))
        saved = f"{found['fewer_by_packing']:.2f} x {found['fewer_by_sharing']:.2f}"
        of_pool = f"{found['pool_fewer_by_packing']:.2f} x {found['pool_fewer_by_sharing']:.2f}"
        print(f"{name}: {found['fewer_tokens']:.2f} times fewer tokens = packing x sharing = {saved}")
        print(f"{name}: over all {found['pool']} Comparisons read {of_pool}", flush=True)
