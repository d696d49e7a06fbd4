"""Questions about toys, and what a judge says to each of them alone."""

from dataclasses import replace

import numpy as np
import torch
from separate_rows import separate_costs
from torch import Tensor
from toys import IMAGE_TOKEN, VIDEO_TOKEN

from data_pipeline.encoding.encoded import EncodedComparison, EncodedReasoning
from data_pipeline.encoding.questions import Asking, QuestionTokens, pairs_of
from rm_core.model.reward_model import RewardModel

TOKENS = QuestionTokens(
    before=np.array([60, 61], dtype=np.int32),
    between=np.array([62], dtype=np.int32),
    after=np.array([63, 10, 11], dtype=np.int32),
    verdicts=(12, 13),
    header=2,
    end=1,
    pads=(IMAGE_TOKEN, VIDEO_TOKEN),
    closing=np.array([14, 11], dtype=np.int32),
)


def reasoned(item: EncodedComparison) -> EncodedComparison:
    """The toy as questions with a reasoning behind each: its first pair in both orders, the others in one."""
    pairs = [pair for judgement in item.judged for pair in pairs_of(judgement)]
    orders = [pair[::-1] if number % 2 else pair for number, pair in enumerate(pairs)]
    given = tuple(
        EncodedReasoning(first, second, np.arange(20 + number, 25 + 2 * number, dtype=np.int32))
        for number, (first, second) in enumerate((*orders, *(pair[::-1] for pair in orders[:1])))
    )
    return Asking(TOKENS, "given")(replace(item, reasonings=given))


def separate_reasonings(model: RewardModel, item: EncodedComparison) -> Tensor:
    """What a Comparison adds to the loss of its pairs: each question a row of its own, and logits of all tokens."""
    assert item.questions is not None
    means = torch.stack([costs.mean() for costs in separate_costs(model, item)])
    return (means * torch.tensor(item.questions.weights)).sum()


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
