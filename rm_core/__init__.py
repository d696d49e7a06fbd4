"""Packed batches, the reward model, its training on ZeRO, its evaluation and its use as a scorer.

The rooms in the order of the data; each imports only from rooms above it, and `PreparedData` of `data_pipeline`::

    PreparedData
      -> PlanningTable, Plan      packing/       which Comparisons form which optimiser step, in which packs (pure)
      -> PackedBatch              batches/       one row of whole Comparisons as tensors, each prompt once
      -> rewards [R]              model/         Qwen2.5-VL backbone, per-Comparison attention, float32 reward head
      -> Judged: sums, counts     objectives/    pairwise, listwise, ties; regularisers
    fragments <-> Checkpoint      checkpoints/   the state of a training: complete or absent, for any number of ranks
    RewardModel <-> folder, s3    model_folder/  weights, tokenizer, head; verified to score as the trained engine did
    folder -> other programs      interop/       the same model for Transformers and vLLM
    recipe -> TrainConfig         train_config/  what a recipe may say about training, refused early where it cannot be
      -> Memory, Time             planner/       whether it fits, how long it takes, before a GPU is rented
      -> Trainer -> model folder  training/      accumulate, step on the ZeRO engine, watch, save, export
    RewardModel -> texts          generation/    critiques and reasoned verdicts that a model writes
      -> ScoredComparison         scoring/       a model folder as a function of Comparisons: `Scorer`
      -> EvaluationReport         evaluation/    accuracies with intervals, curves, two models compared
      -> Analysis                 scaling/       the points of a sweep: ranking, power laws
      -> Ensemble, Decision       ensembles/     several models as one; whether it may replace the champion
      -> rewards                  serving/       what a registered model is made of, and scoring with it

Nothing here imports ray or mlflow: what a trainer needs of them, such as logging, is an argument. Pages and plots are
drawn in `jobs`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rm_core.scoring.scorer import Scorer

__all__ = ["load", "load_reward_model"]


def load(folder: str, *, token_budget: int = 8192, patch_budget: int = 32768, attention: str = "auto") -> "Scorer":
    """An exported reward model, ready to score Comparisons as the trainer did.

    Args:
        folder: what `basereward train` exported.
        token_budget: tokens a packed row holds at most.
        patch_budget: vision patches (14 x 14 pixels, with Qwen3-VL 16 x 16) a packed row holds at most.
        attention: the kernel by name; "auto" takes flex on a GPU and sdpa elsewhere.

    Raises:
        MissingInput: no reward head there.
        CorruptData: a file differs from its checksum, or weights are missing or empty.
    """
    from rm_core.packing.plan import PackBudget
    from rm_core.scoring.scorer import Scorer

    return Scorer(folder, PackBudget(tokens=token_budget, patches=patch_budget), attention=attention)


def load_reward_model(folder: str, *, dtype: str = "float32") -> "PreTrainedModel":
    """A model that `basereward export-model` wrote, in the form of Transformers, in evaluation mode.

    It takes what the folder's `AutoProcessor`, or `AutoTokenizer`, makes of a chat, and gives rewards as ``logits``.
    From then on Transformers' `AutoModelForSequenceClassification` and pipelines load such folders too.

    Args:
        dtype: of the backbone's weights, such as "bfloat16"; the head computes in float32.
    """
    from transformers import AutoModelForSequenceClassification

    import rm_core.interop.classes  # noqa: F401  # registers

    load: Any = AutoModelForSequenceClassification.from_pretrained
    model: PreTrainedModel = load(folder, dtype=dtype, trust_remote_code=False).eval()
    return model
