"""What the public trainers do with Comparisons: K full sequences each, padded on the right."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage
from rm_core.batches.pixels import patches_of
from rm_core.model.head import RewardHead

__all__ = ["MICRO_BATCH", "PaddedModel", "bradley_terry_sum", "micro_batches", "ordered_pairs", "padded"]

ImageLoader = Callable[[EncodedImage], npt.NDArray[np.float32]]
MICRO_BATCH = 4
"""Comparisons that are padded together."""


class PaddedModel(nn.Module):
    """Transformers' own model with a reward head; its weights bear the names of a `RewardModel`'s."""

    def __init__(self, backbone: nn.Module, head: RewardHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, inputs: dict[str, Tensor], last: Tensor) -> Tensor:
        """Rewards [rows]; `last` is the place of each row's last token."""
        hidden: Tensor = self.backbone(**inputs, use_cache=False).last_hidden_state
        rewards: Tensor = self.head(hidden[torch.arange(len(last), device=last.device), last])
        return rewards


def micro_batches(comparisons: Sequence[EncodedComparison]) -> list[Sequence[EncodedComparison]]:
    """The Comparisons in their order, `MICRO_BATCH` at a time."""
    return [comparisons[start : start + MICRO_BATCH] for start in range(0, len(comparisons), MICRO_BATCH)]


def padded(
    group: Sequence[EncodedComparison],
    image_token: int,
    load_image: ImageLoader = patches_of,
) -> tuple[dict[str, Tensor], Tensor]:
    """Inputs of Transformers' model, and the place of each row's last token.

    In the reference's favour an image is loaded once, and only its patches are repeated for every response.
    """
    rows = [np.concatenate([item.prefix_ids, ids]) for item in group for ids in item.response_ids]
    lengths = torch.tensor([len(row) for row in rows])
    input_ids = nn.utils.rnn.pad_sequence([torch.from_numpy(row).long() for row in rows], batch_first=True)
    inputs = {"input_ids": input_ids, "attention_mask": (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()}
    patches: list[Tensor] = []
    grids: list[tuple[int, int, int]] = []
    for item in group:
        loaded = [torch.from_numpy(load_image(image)) for image in item.pictures]
        patches += loaded * len(item.response_ids)
        grids += [image.grid for image in item.pictures] * len(item.response_ids)
    if patches:
        inputs["pixel_values"] = torch.cat(patches)
        inputs["image_grid_thw"] = torch.tensor(grids)
        inputs["mm_token_type_ids"] = (input_ids == image_token).int()
    return inputs, lengths - 1


def bradley_terry_sum(group: Sequence[EncodedComparison], rewards: Sequence[Tensor]) -> Tensor:
    """-log sigmoid(better - worse) over the ordered pairs of a micro-batch, as the rivals write it."""
    margins = [part[i] - part[j] for item, part in zip(group, rewards, strict=True) for i, j in ordered_pairs(item)]
    return -logsigmoid(torch.stack(margins)).sum()


def ordered_pairs(item: EncodedComparison) -> list[tuple[int, int]]:
    """(better, worse) as places of responses; ties are no pairs."""
    places = range(len(item.ranks))
    return [(i, j) for i in places for j in places if item.ranks[i] < item.ranks[j]]
