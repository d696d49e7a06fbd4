"""Toys for tests: random Comparisons with real PNG images, and backbones of a few thousand parameters."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, EncodedVideo, VisionSpan
from data_pipeline.media import ImageFormat
from rm_core.batches.packed import PackedBatch, collate
from rm_core.batches.positions import RowFormat
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.families import family_of
from rm_core.model.language_head import LanguageHead
from rm_core.model.reward_model import RewardModel

IMAGE_TOKEN, VISION_START, VISION_END, VIDEO_TOKEN = 1, 2, 3, 0
VOCABULARY = 64
ROW_FORMAT = RowFormat(image_token=IMAGE_TOKEN, video_token=VIDEO_TOKEN, time_per_second=2.0, window=4)


def toy_image(seed: int, height: int = 56, width: int = 56) -> EncodedImage:
    """An image of noise, stored as PNG bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    data = buffer.getvalue()
    return EncodedImage(key=hashlib.sha256(data).hexdigest(), data=data, height=height, width=width)


def toy_comparison(
    seed: int,
    *,
    images: tuple[EncodedImage, ...] = (),
    ranks: tuple[int, ...] = (0, 1),
    prefix_text: int = 5,
    response_images: tuple[EncodedImage, ...] = (),
    response_text: int = 6,
) -> EncodedComparison:
    """Random text around the given images; `response_images` go one each into the first responses, of at most
    `response_text` words."""
    random = np.random.default_rng(seed)

    def text(length: int) -> np.ndarray:
        return random.integers(4, VOCABULARY, length, dtype=np.int32)

    prefix = np.concatenate([text(2), *map(image_span, images), text(prefix_text)])
    responses = []
    for place in range(len(ranks)):
        span = [image_span(response_images[place])] if place < len(response_images) else []
        responses.append(np.concatenate([text(int(random.integers(1, response_text + 1))), *span, text(1)]))
    return EncodedComparison(
        id=f"toy-{seed}",
        source="image" if images else "text",
        split="train",
        prefix_ids=prefix.astype(np.int32),
        response_ids=tuple(part.astype(np.int32) for part in responses),
        ranks=ranks,
        scores=(None,) * len(ranks),
        images=(*images, *response_images),
    )


def with_targets(item: EncodedComparison, part: float = 0.5) -> EncodedComparison:
    """The model is to write this part of each response, its end: all of it from 1 on."""
    return replace(item, target_starts=tuple(int(len(ids) * (1 - part)) for ids in item.response_ids))


def prepared_for(format: ImageFormat, comparison: EncodedComparison) -> EncodedComparison:
    """The same text, with each image at the size at which it has as many tokens in `format`, or cut into tiles."""
    images = tuple(sized_for(format, span) for span in comparison.images)
    if not format.tile:
        return replace(comparison, images=images)
    spans = iter(images)
    prefix, *responses = (_with_runs(ids, spans) for ids in (comparison.prefix_ids, *comparison.response_ids))
    return replace(comparison, images=images, prefix_ids=prefix, response_ids=tuple(responses))


def _with_runs(ids: np.ndarray, spans: Iterator[Any]) -> np.ndarray:
    """The same tokens with runs of image tokens as long as the spans say."""
    parts, at = [], 0
    for start, end in zip(np.flatnonzero(ids == VISION_START), np.flatnonzero(ids == VISION_END), strict=True):
        parts += [ids[at:start], image_span(next(spans))]
        at = end + 1
    return np.concatenate([*parts, ids[at:]])


def row_for(model: RewardModel, items: Sequence[EncodedComparison]) -> PackedBatch:
    """The packed row of the items as the model is shown pictures."""
    row_format = model.row_format
    return collate([prepared_for(row_format.images, item) for item in items], row_format=row_format)


def sized_for(format: ImageFormat, span: VisionSpan) -> Any:
    """The span at the size at which it has as many tokens in `format`; a tile for every four of them, if any."""
    if isinstance(span, EncodedVideo):
        return replace(span, frames=tuple(sized_for(format, frame) for frame in span.frames))
    if format.tile:
        height, width = (max(1, side // 56) * format.tile for side in (span.height, span.width))
        return replace(span, height=height, width=width, format=format)
    height, width = (side // span.format.merged * format.merged for side in (span.height, span.width))
    return replace(span, height=height, width=width, format=format)


def image_span(image: EncodedImage) -> np.ndarray:
    return np.array([VISION_START, *[IMAGE_TOKEN] * image.num_tokens, VISION_END], dtype=np.int32)


_TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
_IDS = {
    "image_token_id": IMAGE_TOKEN,
    "vision_start_token_id": VISION_START,
    "vision_end_token_id": VISION_END,
    "video_token_id": VIDEO_TOKEN,
}


def toy_config(model_type: str = "qwen2_5_vl", decoder: str = "qwen2") -> Any:
    """A backbone of a few thousand parameters, of any family; of InternVL with that decoder, and tiles of 56 pixels."""
    config_class: Any = family_of(model_type).config_class
    if model_type == "internvl":
        text = _TEXT | {"model_type": decoder, "head_dim": 8, "rope_parameters": _ROPE}
        vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
        return config_class(
            text_config=text, vision_config=vision | {"image_size": 56, "attention_bias": True},
            image_token_id=IMAGE_TOKEN,
        )  # fmt: skip
    if not family_of(model_type).has_vision:
        return config_class(**_TEXT, rope_parameters=_ROPE, head_dim=8)
    vision = {"depth": 2, "num_heads": 2}
    if model_type == "qwen2_5_vl":
        vision |= {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 32, "fullatt_block_indexes": [1]}
    elif model_type == "qwen3_vl":
        vision |= {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 32, "depth": 3}
        vision |= {"num_position_embeddings": 25, "deepstack_visual_indexes": [0, 1]}
    else:
        vision |= {"embed_dim": 32, "mlp_ratio": 2, "hidden_size": 32}
    text = _TEXT | {"rope_parameters": _ROPE | {"mrope_section": [1, 1, 2]}}
    if model_type == "qwen3_vl":
        rope = _ROPE | {"mrope_section": [2, 1, 1], "mrope_interleaved": True}
        text |= {"num_hidden_layers": 3, "head_dim": 8, "rope_parameters": rope}
    return config_class(text_config=text, vision_config=vision, **_IDS)


def toy_reward_model(
    seed: int = 0, *, model_type: str = "qwen2_5_vl", head: HeadConfig | None = None, writes: str = "",
    judges: bool = False, config: Any = None,
) -> RewardModel:  # fmt: skip
    """Random weights; the same for the same seed.

    Args:
        writes: with a language head, "tied" or a weight of its "own".
        judges: without another head.
        config: of the backbone; None: `toy_config` of its type.
    """
    config = config or toy_config(model_type)
    config.tie_word_embeddings = writes == "tied"
    backbone = new_backbone(config, seed=seed, dtype=torch.float32)
    table = backbone.get_input_embeddings().weight
    own = torch.nn.Parameter(torch.randn(table.shape, generator=torch.Generator().manual_seed(seed + 1)) * 0.2)
    language_head = LanguageHead(table if writes == "tied" else own) if writes else None
    model = RewardModel(backbone, head or HeadConfig(), language_head, judges=judges)
    model.head.initialise(seed)
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        if name.endswith(("cls_token", "position_embeddings", "lambda_1", "lambda_2")):
            # All zeros or all alike at first, so that places could be mixed up unseen.
            value.data = torch.randn(value.shape, generator=generator)
    return model
