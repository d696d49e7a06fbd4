"""Pictures and videos for Qwen3-VL: sizes, pixels and times as its Hugging Face processor makes them, and shards that
know whom they are for.
"""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from transformers import AutoImageProcessor, AutoTokenizer, Qwen3VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from video_toys import noise_png

from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.dataset.layout import shard_urls
from data_pipeline.dataset.shard_reader import ShardReader
from data_pipeline.dataset.shards import ShardRow, read_table, write_shard
from data_pipeline.encoding.encoder import EncodedImage, EncodedVideo, Encoder
from data_pipeline.encoding.spans import stamps_of, steps_of
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, train_tokenizer
from data_pipeline.encoding.truncate import Cut
from data_pipeline.errors import CorruptData, RecipeError
from data_pipeline.media import QWEN2_5_VL, QWEN3_VL, Image, Video
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from data_pipeline.transform.planning import portable_config
from rm_core.batches.pixels import patches_of
from rm_core.model_folder.processor_files import write_processor_files

CONFIG = EncodeConfig(family="qwen3-vl", min_pixels=4096, max_pixels=262_144, video_max_pixels=12 * 1024)
STILL = Image(noise_png(1, 100, 60), "ka", 60, 100)
FRAMES = tuple(Image(noise_png(place, 96, 128), f"k{place}", 128, 96) for place in range(5))
SEEING = Comparison(
    id="7",
    source="s",
    prompt=(Turn("user", ("Look: ", ImageSlot(0), "\nand ", ImageSlot(1), " What?")),),
    responses=(Response(("See ", ImageSlot(1), " there."), 0), Response(("None.",), 1)),
    media=(MediaRef(data=STILL.data), MediaRef(is_video=True, frames=tuple(frame.data for frame in FRAMES))),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("model"))
    train_tokenizer([f"Look: and is the bus number {i} red?\n\nYes, No. <2.5 seconds>" for i in range(30)], 350, path)
    write_processor_files(path, CONFIG)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: str) -> ChatTokenizer:
    return load_tokenizer(folder)


def encoded_image(tokenizer: ChatTokenizer, data: bytes, size: tuple[int, int]) -> EncodedImage:
    one = replace(SEEING, prompt=(Turn("user", (ImageSlot(0),)),), media=SEEING.media[:1])
    one = replace(one, responses=(Response(("a",), 0), Response(("b",), 1)))
    (image,) = Encoder(tokenizer, CONFIG).encode(one, [Image(data, "k", *size)]).images
    assert isinstance(image, EncodedImage)
    return image


@pytest.mark.parametrize("size", [(40, 30), (640, 480), (1500, 900), (32, 32), (7, 300), (1999, 10), (90, 700)])
def test_sizes_and_pixels_equal_the_hugging_face_processor(
    size: tuple[int, int], folder: str, tokenizer: ChatTokenizer
) -> None:
    processor = AutoImageProcessor.from_pretrained(folder)
    data = noise_png(3, size[1], size[0])
    image = encoded_image(tokenizer, data, size)
    with PIL.Image.open(io.BytesIO(data)) as picture:
        theirs = processor(images=[picture], return_tensors="np")
        plain = Qwen2VLImageProcessorPil(patch_size=16, do_normalize=False, do_rescale=False, size=processor.size)
        pixels = plain(images=[picture], return_tensors="np")["pixel_values"]
    assert theirs["image_grid_thw"].tolist() == [list(image.grid)]
    assert image.num_tokens == image.num_patches // 4 and image.height % 32 == image.width % 32 == 0
    ours = patches_of(image)
    np.testing.assert_array_equal((ours * 127.5 + 127.5).round(), pixels)
    np.testing.assert_allclose(ours, theirs["pixel_values"], atol=1e-6)


def test_the_written_processor_is_that_of_qwen3_vl(folder: str) -> None:
    processor = AutoImageProcessor.from_pretrained(folder)
    assert isinstance(processor, Qwen2VLImageProcessorPil)
    assert (processor.patch_size, processor.merge_size, processor.temporal_patch_size) == (16, 2, 2)
    assert list(processor.image_mean) == list(processor.image_std) == [0.5, 0.5, 0.5]
    assert (processor.size["shortest_edge"], processor.size["longest_edge"]) == (4096, 262_144)
    assert '"processor_class": "Qwen3VLProcessor"' in Path(folder, "preprocessor_config.json").read_text()


@pytest.mark.parametrize(("frames", "fps"), [(5, 1.0), (4, 2.0), (1, 1.0), (7, 0.3), (6, 24.0)])
def test_times_equal_those_of_the_hugging_face_processor(frames: int, fps: float) -> None:
    picture = EncodedImage("k", b"", 32, 32, format=QWEN3_VL)
    video = EncodedVideo((picture,) * frames, 2 / fps)
    theirs = Qwen3VLProcessor._calculate_timestamps(None, list(range(frames)), fps, 2)  # type: ignore[arg-type]
    assert stamps_of(video) == tuple(f"<{seconds:.1f} seconds>" for seconds in theirs)
    assert [len(step.frames) for step in steps_of(video)] == [2] * (frames // 2) + [1] * (frames % 2)  # type: ignore[union-attr]
    unstamped = replace(video, frames=(replace(picture, height=28, width=28, format=QWEN2_5_VL),) * frames)
    assert steps_of(unstamped) == (unstamped,)


def test_tokens_equal_the_chat_template_with_each_step_behind_its_time(folder: str, tokenizer: ChatTokenizer) -> None:
    encoded = Encoder(tokenizer, CONFIG).encode(SEEING, [STILL, Video(FRAMES, 2.0)])
    theirs: Any = AutoTokenizer.from_pretrained(folder)
    content = [{"type": kind, "text": text} for kind, text in (
        ("text", "Look: "), ("image", ""), ("text", "\nand "), ("video", ""), ("text", " What?")
    )]  # fmt: skip
    text = theirs.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    image, video = encoded.images[0], encoded.images[1]
    assert (image.grid, video.grid) == ((1, 6, 4), (3, 6, 8))
    steps = "".join(
        f"<{time} seconds><|vision_start|>{'<|video_pad|>' * 12}<|vision_end|>" for time in ("0.5", "2.5", "4.0")
    )
    text = text.replace("<|image_pad|>", "<|image_pad|>" * 6)
    text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", steps)
    assert encoded.prefix_ids.tolist() == theirs.encode(text, add_special_tokens=False)
    own = theirs.encode(f"See {steps} there.<|im_end|>", add_special_tokens=False)
    assert encoded.response_ids[0].tolist() == own


def test_shards_know_whom_their_pictures_are_for(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    tables = {}
    for family in ("qwen2.5-vl", "qwen3-vl"):
        encoder = Encoder(tokenizer, replace(CONFIG, family=family))
        encoded, segments = encoder.encode_segments(SEEING, [STILL, Video(FRAMES, 2.0)])
        assert segments.images == (0, 2, 0) and len(encoded.images) == 3
        write_shard(str(tmp_path / family), "0", [ShardRow(SEEING, encoded, segments, "key")])
        tables[family] = [read_table(url) for url in shard_urls(str(tmp_path / family), "0")]
        row = ShardReader(*tables[family]).encoded(0, Cut(0, (999, 999)), "")
        assert row.images == encoded.images
        assert {picture.format.name for picture in row.pictures} == {family}
    assert tables["qwen2.5-vl"][1].schema.metadata is None, "as earlier versions wrote it"
    comparisons, images = tables["qwen3-vl"]
    other: pa.Table = images.replace_schema_metadata({"image_format": "cubist"})
    with pytest.raises(
        CorruptData, match="pictures in the format 'cubist', known are qwen2.5-vl, qwen3-vl, internvl: a newer"
    ):
        ShardReader(comparisons, other)


def test_a_family_that_is_not_known_is_named(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(RecipeError, match=r"encode.family='cubist' is unknown: choose one of qwen2.5-vl, qwen3-vl"):
        Encoder(tokenizer, replace(CONFIG, family="cubist"))


def test_addresses_of_what_was_prepared_before_stay() -> None:
    assert "family" not in portable_config(PreprocessConfig())["encode"]
    assert portable_config(PreprocessConfig(encode=CONFIG))["encode"]["family"] == "qwen3-vl"
