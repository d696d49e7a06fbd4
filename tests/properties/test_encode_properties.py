"""Properties of sizes and image spans."""

import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as reference

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import SPECIAL_TOKENS, ChatTokenizer
from data_pipeline.errors import RecordError
from data_pipeline.media import Image, smart_resize
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part, Response, Turn

SIDES = st.integers(1, 5000)


@cache
def byte_tokenizer() -> ChatTokenizer:
    vocabulary = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return ChatTokenizer(json.dumps(json.loads(tokenizer.to_str())))


@given(SIDES, SIDES, st.integers(1, 40), st.integers(160, 4000))
def test_sizes_are_multiples_of_28_within_bounds(height: int, width: int, least: int, most: int) -> None:
    limits = {"min_pixels": least * 784, "max_pixels": most * 784}
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(RecordError, match="extreme_aspect_ratio"):
            smart_resize(height, width, **limits)
        return
    found = smart_resize(height, width, **limits)
    assert found == reference(height, width, **limits)
    assert found[0] % 28 == found[1] % 28 == 0
    assert found[0] >= 28 and found[1] >= 28
    if min(found) > 28:  # a side already at its least cannot give way
        assert least * 784 <= found[0] * found[1] <= most * 784


@given(
    st.lists(st.tuples(st.integers(8, 1500), st.integers(8, 1500)), max_size=4),
    st.lists(st.text(), max_size=5),
    st.data(),
)
def test_image_tokens_are_those_of_the_images(
    sizes: list[tuple[int, int]], texts: list[str], data: st.DataObject
) -> None:
    images = [Image(b"x", f"k{i}", width, height) for i, (width, height) in enumerate(sizes)]
    parts: list[Part] = data.draw(st.permutations([*texts, "?", *(ImageSlot(i) for i in range(len(images)))]))
    comparison = Comparison(
        id="1",
        source="s",
        prompt=(Turn("user", tuple(parts)),),
        responses=(Response(("a",), 0), Response(("b",), 1)),
        media=tuple(MediaRef(data=b"x") for _ in images),
    )
    tokenizer = byte_tokenizer()
    encoded = Encoder(tokenizer, EncodeConfig()).encode(comparison, images)
    slots = [part.index for part in parts if isinstance(part, ImageSlot)]
    assert [image.key for image in encoded.images] == [f"k{slot}" for slot in slots]
    inside = encoded.prefix_ids == tokenizer.image_token
    assert np.count_nonzero(inside) == sum(image.num_tokens for image in encoded.images)
    starts = np.flatnonzero(encoded.prefix_ids == tokenizer.special_ids["<|vision_start|>"])
    for start, image in zip(starts, encoded.images, strict=True):
        span = encoded.prefix_ids[start + 1 : start + 2 + image.num_tokens]
        assert np.all(span[:-1] == tokenizer.image_token)
        assert span[-1] == tokenizer.special_ids["<|vision_end|>"]
