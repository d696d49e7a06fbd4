"""Properties of the whole pipeline: what is read back holds whole image spans, fits, and is the record's own text."""

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.config import EncodeConfig, PreprocessConfig, RulesConfig, SourceConfig
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.encoding.truncate import POLICIES
from data_pipeline.pipeline import prepare

MAX_IMAGE_TOKENS = 16


def picture(seed: int, width: int, height: int) -> str:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


PICTURES = [picture(0, 30, 40), picture(1, 120, 56), picture(2, 90, 90)]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IMAGES = st.lists(st.sampled_from(PICTURES), max_size=2)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """A dialogue with images in any turn and in any answer."""
    turns, images = [], []
    for place in range(2 * draw(st.integers(0, 2)) + 1):
        here = draw(IMAGES)
        images += here
        role = "assistant" if place % 2 else "user"
        turns.append({"role": role, "content": "<image>" * len(here) + draw(TEXTS).replace("<image>", "")})
    answers = [
        {"text": draw(TEXTS).replace("<image>", ""), "image": draw(IMAGES), "rank": draw(st.integers(0, 2))}
        for _ in range(draw(st.integers(2, 3)))
    ]
    return {"prompt": turns, "image": images, "responses": answers}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("tokenizer"))
    train_tokenizer(["Some words, and others."], 300, folder)
    return folder


@settings(max_examples=60)
@given(st.lists(records(), min_size=1, max_size=6), st.integers(20, 200), st.sampled_from(POLICIES))
def test_what_is_read_back_is_whole_and_fits(
    tokenizer_folder: str,
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    max_tokens: int,
    policy: str,
) -> None:
    folder: Path = tmp_path_factory.mktemp("data")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = PreprocessConfig(
        sources=[SourceConfig(name="any", path="rows.jsonl")],
        data_root=str(folder),
        output=str(folder / "out"),
        tokenizer=tokenizer_folder,
        encode=EncodeConfig(max_pixels=MAX_IMAGE_TOKENS * 784),
        rules=RulesConfig(max_tokens=max_tokens, truncate=policy),
        rows_per_unit=4,
        shard_bytes=20_000,
    )
    manifest = prepare(config)
    assert manifest.counts.seen == len(rows) == manifest.counts.kept + manifest.counts.refused
    assert Counter(line["reason"] for line in quarantine(config)) == Counter(manifest.counts.refused_by_reason)
    data, tokenizer = PreparedData.open(config.output), load_tokenizer(tokenizer_folder)
    start, end = (tokenizer.special_ids[name] for name in ("<|vision_start|>", "<|vision_end|>"))
    written = {json.dumps([answer["text"] for answer in row["responses"]]) for row in rows}
    for index in range(len(data)):
        encoded = data.encoded(index)
        assert encoded.length <= max_tokens
        ids = np.concatenate([encoded.prefix_ids, *encoded.response_ids])
        spans = list(zip(np.flatnonzero(ids == start), np.flatnonzero(ids == end), strict=True))
        assert [last - first - 1 for first, last in spans] == [image.num_tokens for image in encoded.images]
        assert np.count_nonzero(ids == tokenizer.image_token) == sum(image.num_tokens for image in encoded.images)
        assert all(response[-1] == tokenizer.special_ids["<|im_end|>"] for response in encoded.response_ids)
        planned = data.rows.slice(index, 1).to_pylist()[0]
        assert planned["prefix_length"] == len(encoded.prefix_ids)
        assert planned["response_lengths"] == [len(response) for response in encoded.response_ids]
        assert planned["image_patches"] == [image.num_patches for image in encoded.images]
        assert json.dumps([response.text for response in data.comparison(index).responses]) in written


def quarantine(config: PreprocessConfig) -> list[dict[str, Any]]:
    name = Manifest.read(config.output).quarantine_file.name
    return [json.loads(line) for line in (Path(config.output) / name).read_text().splitlines()]
