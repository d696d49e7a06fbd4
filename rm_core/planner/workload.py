"""What an epoch shows a model: of prepared data, or of the recipe's assumptions."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.questions import Asking
from data_pipeline.errors import RecipeError
from rm_core.model.families import family_of
from rm_core.model.flops import Flops, cost_model
from rm_core.packing.epoch import epoch_table, question_sizes
from rm_core.packing.sizes import PlanningTable
from rm_core.planner.assumed import Counts, assumed_counts
from rm_core.planner.config import PlanConfig

__all__ = ["Workload", "assumed_workload", "workload_of_data"]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Comparisons of an epoch, in the mean; where `train.global_batch` counts pairs, a pair's share of them.

    Attributes:
        comparisons: how many; or pairs.
        tokens: of one, prompt once and all answers.
        patches: of one.
        flops: of a forward pass over one.
        largest_tokens, largest_patches: of the largest one; 0: not known.
        source: where the numbers are from, for people.
        heldout: Comparisons of the held-out split; 0: not known.
        heldout_flops: of a forward pass over all of them.
        table: of the Comparisons themselves, where they are known.
        unit: what is counted, as `train.global_batch_unit`.
    """

    comparisons: int
    tokens: float
    patches: float
    flops: float
    largest_tokens: int
    largest_patches: int
    source: str
    heldout: int = 0
    heldout_flops: float = 0.0
    table: PlanningTable | None = None
    unit: str = "comparisons"


def assumed_workload(
    config: PlanConfig, backbone: Any, unit: str = "comparisons", *, preprocess: PreprocessConfig | None = None
) -> Workload:
    """Comparisons of the means that `config` states, each with one square image where it has patches.

    Args:
        unit: `train.global_batch_unit`.
        preprocess: what the recipe makes of its sources; unset: `config.comparisons` are trained on, none held out.

    Raises:
        RecipeError: a source that is used has no size, and others have; or an epoch would show nothing.
    """
    pairs = config.responses * (config.responses - 1) // 2
    counts = Counts(pictured=config.comparisons) if preprocess is None else assumed_counts(config, preprocess)
    shown, held = counts.pictured + counts.text, counts.held_pictured + counts.held_text
    if round(shown) < 1:
        raise RecipeError("plan.sizes and preprocess leave no Comparison to train on: name other sources or ratios")
    flops = Flops.of(backbone)
    answers, words = [config.response_tokens] * config.responses, config.prefix_tokens - config.patches // 4
    patches = config.patches if flops.vision is not None else 0
    grids = [_assumed_grid(patches, flops.vision.tile)] if patches and flops.vision is not None else []
    prefix = config.prefix_tokens if flops.vision is not None else words
    seeing, reading = flops.forward(prefix, answers, grids), flops.forward(words, answers, [])
    share = counts.pictured / shown
    whole = Workload(
        comparisons=round(shown),
        tokens=share * prefix + (1 - share) * words + sum(answers),
        patches=share * patches,
        flops=share * seeing + (1 - share) * reading,
        largest_tokens=0,
        largest_patches=0,
        source=f"assumed in the section plan: there is no prepared data; {round(shown):,} Comparisons an epoch",
        heldout=round(held),
        heldout_flops=counts.held_pictured * seeing + counts.held_text * reading,
    )
    return _shares(whole, pairs * whole.comparisons) if unit == "pairs" else whole


def _assumed_grid(patches: int, tile: int) -> tuple[int, int, int]:
    """One square image; or of as many tiles, of `tile` patches each."""
    if tile:
        return (max(1, round(patches / tile)), tile, 1)
    side = max(2, 2 * round(patches**0.5 / 2))
    return (1, side, side)


def workload_of_data(
    data: PreparedData, backbone: Any, unit: str = "comparisons", *, asking: Asking | None = None
) -> Workload:
    """Comparisons of the training split as an epoch shows them.

    Args:
        unit: `train.global_batch_unit`.
        asking: what a judge is asked about them.
    """
    costs = cost_model(backbone)
    table = epoch_table(data, costs, asking)
    split = data.split_indices("heldout")
    questions = None if asking is None else question_sizes(replace(asking, orders="all"))
    heldout = PlanningTable.from_rows(
        data.all_rows, split, places=data.row_indices(split), cost_model=costs, questions=questions
    )
    whole = Workload(
        comparisons=len(table),
        tokens=float(table.num_tokens.mean()),
        patches=float(table.num_patches.mean()),
        flops=float(table.cost.mean()),
        largest_tokens=int(table.num_tokens.max()),
        largest_patches=int(table.num_patches.max()),
        source=f"{data.folder}, {len(table):,} Comparisons an epoch{_for_others(data, backbone)}",
        heldout=len(heldout),
        heldout_flops=float(heldout.cost.sum(dtype=np.float64)),
        table=table,
    )
    return _shares(whole, int(table.num_pairs.sum(dtype=np.int64))) if unit == "pairs" else whole


def _for_others(data: PreparedData, backbone: Any) -> str:
    """What to say of pictures that were prepared for another family of backbones: they'd be other patches for this."""
    family, prepared = family_of(backbone.model_type), data.manifest.reading.encode.family
    if not family.has_vision or family.images.name == prepared:
        return ""
    return f", whose pictures were prepared for {prepared}, not for {family.images.name}: prepared anew they differ"


def _shares(whole: Workload, pairs: int) -> Workload:
    """The same work as `pairs` equal shares; the largest Comparison stays whole, as a row has to hold it."""
    pairs = max(1, pairs)
    share = whole.comparisons / pairs
    return replace(
        whole,
        comparisons=pairs,
        tokens=whole.tokens * share,
        patches=whole.patches * share,
        flops=whole.flops * share,
        unit="pairs",
        source=f"{whole.source}, counted by their {pairs:,} pairs",
    )
