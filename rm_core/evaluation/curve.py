"""The numbers of an evaluation that make a curve over the steps of a training: values, no intervals and no counts.

Each equals the number of the same name in an `EvaluationReport` of the same rewards.
"""

from collections.abc import Sequence

import numpy as np

from rm_core.evaluation.curves import spearman
from rm_core.evaluation.pairs import PairTable, pair_table
from rm_core.scoring.scored import ScoredComparison, check_finite

__all__ = ["UNRANKED", "curve_numbers", "grouped_name", "log_loss"]

UNRANKED = ("eval/mean_margin", "eval/reward_length_spearman")
"""Numbers of which neither more nor less is better."""


def curve_numbers(scored: Sequence[ScoredComparison]) -> dict[str, float]:
    """``eval/accuracy``, ``eval/log_loss``, ``eval/by_source/NAME``, ... of Comparisons with a pair to rank.

    Raises:
        RunError: a reward is NaN or infinite.
    """
    check_finite(scored)
    table = pair_table(scored)
    right = table.margin > 0
    found = {
        "accuracy": float(right.mean()),
        "top1_accuracy": float(table.top1[table.num_pairs > 0].mean()),
        "log_loss": log_loss(table),
        "mean_margin": float(table.margin.mean()),
    }
    groups = {"image_accuracy": table.has_images, "text_accuracy": ~table.has_images}
    groups |= {f"source/{name}/accuracy": table.source == name for name in np.unique(table.source)}
    for name, members in groups.items():
        inside = members[table.comparison]
        if inside.any():
            found[name] = float(right[inside].mean())
    correlation = spearman(table.reward, table.response_length)
    if correlation is not None:
        found["reward_length_spearman"] = correlation
    return {grouped_name(name): value for name, value in found.items()}


def log_loss(table: PairTable) -> float:
    """Mean of -log sigmoid(margin) over the ordered pairs: 0.6931 for rewards that are all equal."""
    return float(np.logaddexp(0.0, -table.margin).mean())


def grouped_name(name: str) -> str:
    """An evaluation's number as the tracker calls it, whose pages make a section of each group.

    >>> grouped_name("source/captions/accuracy"), grouped_name("member/large/accuracy"), grouped_name("accuracy")
    ('eval/by_source/captions', 'eval/by_member/large', 'eval/accuracy')
    """
    kind, _, rest = name.partition("/")
    return f"eval/by_{kind}/{rest.removesuffix('/accuracy')}" if rest else f"eval/{name}"
