"""`BlockLayout`: where the Comparisons of a packed row stand, and who may attend to whom.

A row is a sequence of Comparisons, each laid out as [prefix | response 1 | ... | response K].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Block", "BlockLayout", "block_mask"]


@dataclass(frozen=True, slots=True)
class Block:
    """Where one Comparison stands in the row, in tokens."""

    start: int
    prefix_length: int
    response_lengths: tuple[int, ...]

    @property
    def length(self) -> int:
        return self.prefix_length + sum(self.response_lengths)

    @property
    def stop(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """The blocks of a row in order, covering it without gaps: the description of its attention mask."""

    blocks: tuple[Block, ...]

    @property
    def num_tokens(self) -> int:
        return self.blocks[-1].stop if self.blocks else 0


def block_mask(block: Block) -> Tensor:
    """The rule as a matrix: causal, and (key in the prefix, or key in the query's own response)."""
    lengths = torch.tensor((block.prefix_length, *block.response_lengths))
    segment = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    token = torch.arange(block.length)
    causal = token[:, None] >= token[None, :]
    return causal & ((segment[None, :] == 0) | (segment[:, None] == segment[None, :]))
