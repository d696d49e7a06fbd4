"""What peers do, for comparison: one full row per response through Transformers' own forward pass.

Its own positions, its own masks, its own way of putting images into the text, its own vision tower attention.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from toys import IMAGE_TOKEN, VIDEO_TOKEN

from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, VisionSpan
from data_pipeline.encoding.spans import steps_of
from data_pipeline.media import tiled_rgb
from rm_core.batches.pixels import patches_of
from rm_core.model.reward_model import RewardModel


def separate_rewards(model: RewardModel, comparison: EncodedComparison) -> Tensor:
    """The head's outputs [K] or [K, 2], each response on its own behind the whole prefix."""
    outputs = []
    for hidden in _hidden_states(model, comparison):
        answer = hidden[len(comparison.prefix_ids) :]
        pooled = answer[-1:] if model.head_config.pooling == "last" else answer.float().mean(dim=0, keepdim=True)
        outputs.append(model.head(pooled)[0])
    return torch.stack(outputs)


def separate_costs(model: RewardModel, comparison: EncodedComparison) -> list[Tensor]:
    """For each response, -log P of its targets: of the logits of all its tokens at once."""
    found = []
    for hidden, ids, start in zip(
        _hidden_states(model, comparison), comparison.response_ids, comparison.target_starts, strict=True
    ):
        logits = hidden @ model.lm_head.weight.T
        predicting = len(comparison.prefix_ids) + start - 1
        targets = torch.from_numpy(ids[start:]).long()
        found.append(torch.nn.functional.cross_entropy(logits[predicting:-1], targets, reduction="none"))
    return found


def _hidden_states(model: RewardModel, comparison: EncodedComparison) -> Iterator[Tensor]:
    """Of the whole row of each response."""
    spans = iter(comparison.images)
    in_prefix = taken(spans, comparison.prefix_ids)
    for ids in comparison.response_ids:
        shown = [*in_prefix, *taken(spans, ids)]
        row = torch.cat([torch.from_numpy(part).long() for part in (comparison.prefix_ids, ids)])[None]
        with _own_attention(model):
            hidden = model.backbone(**_inputs(row, shown)).last_hidden_state[0]
        model.backbone.rope_deltas = None
        yield hidden


def gradients(model: RewardModel, loss: Tensor) -> dict[str, Tensor]:
    """Gradient of every parameter; all of them must have one."""
    model.zero_grad()
    loss.backward()
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    assert len(found) == len(list(model.parameters())), "some parameters got no gradient"
    return found


def assert_equal_gradients(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    """Every parameter's gradient, relative to the largest number of that gradient."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        scale = float(expected.abs().max())
        torch.testing.assert_close(ours[name], expected, rtol=tolerance, atol=tolerance * max(scale, 1.0), msg=name)


def _inputs(row: Tensor, spans: list[Any]) -> dict[str, Tensor]:
    inputs = {"input_ids": row, "attention_mask": torch.ones_like(row)}
    if not spans:
        return inputs
    if spans[0].format.tile:
        return inputs | {"pixel_values": torch.cat([_tiles(image) for image in spans])}
    videos = [span for span in spans if hasattr(span, "frames")]
    images = [span for span in spans if not hasattr(span, "frames")]
    inputs["mm_token_type_ids"] = (row == IMAGE_TOKEN).int() + 2 * (row == VIDEO_TOKEN).int()
    if images:
        inputs["pixel_values"] = torch.cat([torch.from_numpy(patches_of(image)) for image in images])
        inputs["image_grid_thw"] = torch.tensor([image.grid for image in images])
    if videos:
        inputs["pixel_values_videos"] = torch.cat([torch.from_numpy(patches_of(video)) for video in videos])
        inputs["video_grid_thw"] = torch.tensor([video.grid for video in videos])
        inputs["second_per_grid_ts"] = torch.tensor([video.seconds_per_step for video in videos])
    return inputs


def _tiles(image: EncodedImage) -> Tensor:
    """Pixels [tiles, 3, rows, columns] of an image that is cut into tiles."""
    mean, std = (torch.tensor(colours) for colours in (image.format.mean, image.format.std))
    pixels = torch.from_numpy(tiled_rgb(image.data, image.height, image.width, image.format.tile)) / 255
    return ((pixels - mean) / std).permute(0, 3, 1, 2)


@contextmanager
def _own_attention(model: RewardModel) -> Iterator[None]:
    config = model.family.decoder(model.backbone).config
    packed = config._attn_implementation
    config._attn_implementation = "sdpa"
    try:
        yield
    finally:
        config._attn_implementation = packed


def taken(spans: Iterator[VisionSpan], ids: Any) -> Sequence[VisionSpan]:
    """The next spans, as many as a segment has; each of their runs begins after <|vision_start|>, 2 among the toys."""
    runs, found = int((ids == 2).sum()), []
    while runs > 0:
        found.append(next(spans))
        runs -= len(steps_of(found[-1]))
    assert runs == 0
    return found
