"""Tokens of a packed row that the model shall have written itself: where each is predicted, and what it is.

A token is predicted where the one in front of it in its own branch stands: [prefix | response], of which the prefix is
shared. Only these places need logits.

Legend: N target tokens of the row, R responses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.batches.layout import Block

__all__ = ["Targets", "targets_of"]

_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Targets:
    """All target tokens of a row, response after response; of a judge behind its verdicts: see `verdicts.py`.

    Attributes:
        index: int64 [N], where in the row each is predicted; a place may stand here for several.
        ids: int64 [N], the tokens.
        owner: int64 [N], the response of each.
        lengths: int64 [R], how many each response has.
    """

    index: Tensor
    ids: Tensor
    owner: Tensor
    lengths: Tensor


def targets_of(comparisons: Sequence[EncodedComparison], blocks: Sequence[Block]) -> Targets:
    """The targets of a row of these Comparisons; none at all gives empty tensors.

    A prefix of 3 tokens and a response of the tokens 7 8 9 whose targets start at its second one: index 3 4, ids 8 9.

    Args:
        blocks: where they stand; fillers behind them are not looked at.
    """
    index: list[npt.NDArray[np.int64]] = [_NONE]
    ids: list[npt.NDArray[np.int64]] = [_NONE]
    lengths: list[int] = []
    for item, block in zip(comparisons, blocks, strict=False):
        begin = behind_prefix = block.start + block.prefix_length
        starts = item.target_starts or tuple(map(len, item.response_ids))
        for response, start in zip(item.response_ids, starts, strict=True):
            places = np.arange(begin + start, begin + len(response), dtype=np.int64) - 1
            if start == 0:  # in front of a response's first token stands the prefix, not the response before
                places[:1] = behind_prefix - 1
            index.append(places)
            ids.append(response[start:].astype(np.int64))
            lengths.append(len(places))
            begin += len(response)
    counts = torch.tensor(lengths, dtype=torch.int64)
    return Targets(
        index=torch.from_numpy(np.concatenate(index)),
        ids=torch.from_numpy(np.concatenate(ids)),
        owner=torch.repeat_interleave(counts),
        lengths=counts,
    )
