"""Packed batches, the reward model, its training on ZeRO, its evaluation and its use as a scorer.

The way of the data, and the folder that holds each step::

    PreparedData (data_pipeline)
      -> Plan                 batches/     which Comparisons form which optimiser step, in which packs (pure)
      -> PackedBatch          batches/     one row of whole Comparisons, each prompt once, with its positions
      -> rewards [R]          model/       Qwen2.5-VL backbone, per-Comparison attention, float32 reward head
      -> (loss sum, count)    objectives/  pairwise, listwise, ties; regularisers
      -> ZeRO engine          training/    accumulate, step, export
         <-> fragments        checkpoints/ the state of a training: complete or absent, for any number of ranks
      -> EvaluationReport     evaluation/  accuracies with intervals, diagnostics, report.html
      -> Analysis             scaling/     the points of a sweep: ranking, power laws, plots
      -> Ensemble             ensembles/   several models as one: scales, weights, calibration, averaged weights
      -> scores               serving/     the same packed path for a user, a benchmark or an RL trainer

Nothing here imports ray or mlflow: what a trainer needs of them (log, say) is handed in as an argument.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rm_core.scoring.scorer import Scorer

__all__ = ["load"]


def load(folder: str, *, token_budget: int = 8192, patch_budget: int = 32768) -> "Scorer":
    """An exported reward model, ready to score Comparisons as the trainer did.

    Args:
        folder: what `basereward train` exported.
        token_budget: tokens a packed row holds at most.
        patch_budget: vision patches (14 x 14 pixels) a packed row holds at most.

    Raises:
        MissingInput: no reward head there.
        CorruptData: a file differs from its checksum, or weights are missing or empty.
    """
    from rm_core.packing.plan import PackBudget
    from rm_core.scoring.scorer import Scorer

    return Scorer(folder, PackBudget(tokens=token_budget, patches=patch_budget))
