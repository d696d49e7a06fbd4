"""Questions about toys, and what a judge says to each of them alone."""

from dataclasses import replace

import numpy as np
import torch
from separate_rows import separate_costs
from torch import Tensor
from toys import IMAGE_TOKEN, VIDEO_TOKEN

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.questions import Asking, QuestionTokens
from rm_core.model.reward_model import RewardModel

TOKENS = QuestionTokens(
    before=np.array([60, 61], dtype=np.int32),
    between=np.array([62], dtype=np.int32),
    after=np.array([63, 10, 11], dtype=np.int32),
    verdicts=(12, 13),
    header=2,
    end=1,
    pads=(IMAGE_TOKEN, VIDEO_TOKEN),
)


def asked(item: EncodedComparison, orders: str = "both") -> EncodedComparison:
    """The toy as questions."""
    return Asking(TOKENS, orders)(item)


def separate_verdicts(model: RewardModel, item: EncodedComparison) -> Tensor:
    """-log P of both verdicts of each question, [Q, 2]: each question a row of its own, and logits of all tokens."""
    found = []
    for verdict in TOKENS.verdicts:
        answered = [np.append(ids, np.int32(verdict)) for ids in item.response_ids]
        starts = tuple(len(ids) - 1 for ids in answered)
        found.append(
            torch.cat(separate_costs(model, replace(item, response_ids=tuple(answered), target_starts=starts)))
        )
    return torch.stack(found, dim=1)
