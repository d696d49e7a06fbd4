"""The sides of `benchmarks.scoring`: rewards of Comparisons in memory, tensors made from encoded Comparisons included.

Ours        `Scorer`: packs under a token budget, prompt and images once a Comparison, as `evaluate` and `score` do
Reference   K full sequences a Comparison, padded on the right 4 Comparisons at a time, each with the images,
            Transformers' own Qwen2_5_VLModel with sdpa and a 2-D mask
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import Qwen2_5_VLModel

from benchmarks.common.padded_rows import PaddedModel, micro_batches, padded
from benchmarks.train_step.sides import ModelSize
from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.model.config import HeadConfig
from rm_core.model.head import RewardHead
from rm_core.model_folder.folder import save_reward_model
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scorer import Scorer

__all__ = ["Ours", "Reference", "Scores", "Turn", "take_turn"]

Rewards = list[tuple[float, ...]]


class Scores(Protocol):
    """One way to score."""

    def score(self, comparisons: Sequence[EncodedComparison]) -> Rewards:
        """K rewards a Comparison, in the order given."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Some Comparisons scored once."""

    seconds: float
    cpu_s: float
    rewards: Rewards


class Ours:
    """The product's scorer, of a model folder as a training exports it."""

    def __init__(self, size: ModelSize, tokenizer: str, token_budget: int) -> None:
        model = size.reward_model()
        with tempfile.TemporaryDirectory() as folder:
            save_reward_model(
                folder, model.backbone, model.head_config, model.state_dict().items(),
                processor_from=tokenizer, lineage={},
            )  # fmt: skip
            # Four patches make an image token: patches never decide.
            self._scorer = Scorer(folder, PackBudget(tokens=token_budget, patches=4 * token_budget))

    def score(self, comparisons: Sequence[EncodedComparison]) -> Rewards:
        """In as few rows as fit them."""
        return self._scorer.score(comparisons)


class Reference:
    """K padded rows a Comparison."""

    def __init__(self, size: ModelSize) -> None:
        config = size.config()
        config._attn_implementation = "sdpa"
        self._model = PaddedModel(Qwen2_5_VLModel(config), RewardHead(config.text_config.hidden_size, HeadConfig()))
        self._model.load_state_dict(size.reward_model().state_dict())
        self._model.eval()
        self._image_token = size.special_ids["<|image_pad|>"]

    def score(self, comparisons: Sequence[EncodedComparison]) -> Rewards:
        """Some of them at a time, in the order given."""
        found: Rewards = []
        for group in micro_batches(comparisons):
            inputs, last = padded(group, self._image_token)
            with torch.inference_mode():
                rewards = self._model(inputs, last).split([len(item.response_ids) for item in group])
            found += [tuple(part.tolist()) for part in rewards]
        return found


def take_turn(side: Scores, comparisons: Sequence[EncodedComparison]) -> Turn:
    """Score all of them once."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    rewards = side.score(comparisons)
    return Turn(seconds=time.perf_counter() - start_s, cpu_s=time.process_time() - start_cpu_s, rewards=rewards)
