"""Pictures for InternVL: tiles, pixels and tokens as its Hugging Face processor makes them, and shards that know whom
they are for.
"""

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
from transformers import AutoImageProcessor, AutoTokenizer, InternVLProcessor
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import (
    GotOcr2ImageProcessorPil,
    get_optimal_tiled_canvas,
)
from video_toys import noise_png

from data_pipeline.config import EncodeConfig, MediaConfig, PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.dataset.layout import shard_urls
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.shard_reader import ShardReader
from data_pipeline.dataset.shards import ShardRow, read_table, write_shard
from data_pipeline.encoding.encoder import EncodedImage, Encoder
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, train_tokenizer
from data_pipeline.encoding.truncate import Cut
from data_pipeline.errors import RecipeError, RecordError
from data_pipeline.media import INTERNVL, QWEN2_5_VL, Image, Video, tile_canvas
from data_pipeline.pipeline import prepare
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from data_pipeline.transform.planning import portable_config
from rm_core.batches.pixels import patches_of
from rm_core.model_folder.processor_files import write_processor_files

CONFIG = EncodeConfig(family="internvl", max_tiles=6)
STILL = Image(noise_png(1, 100, 60), "ka", 60, 100)
WIDE = Image(noise_png(2, 90, 190), "kb", 190, 90)
SEEING = Comparison(
    id="7",
    source="s",
    prompt=(Turn("user", ("Look: ", ImageSlot(0), "\nand ", ImageSlot(1), " What?")),),
    responses=(Response(("See ", ImageSlot(1), " there."), 0), Response(("None.",), 1)),
    media=(MediaRef(data=STILL.data), MediaRef(data=WIDE.data)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("model"))
    texts = [f"Look: and is the bus number {i} red?\n\nYes, No." for i in range(30)]
    train_tokenizer(texts, 350, path, family="internvl")
    write_processor_files(path, CONFIG)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: str) -> ChatTokenizer:
    return load_tokenizer(folder)


def encoded_image(tokenizer: ChatTokenizer, image: Image, config: EncodeConfig = CONFIG) -> EncodedImage:
    one = replace(SEEING, prompt=(Turn("user", (ImageSlot(0),)),), media=SEEING.media[:1])
    one = replace(one, responses=(Response(("a",), 0), Response(("b",), 1)))
    (encoded,) = Encoder(tokenizer, config).encode(one, [image]).images
    assert isinstance(encoded, EncodedImage)
    return encoded


@pytest.mark.parametrize(("least", "most"), [(1, 12), (1, 6), (2, 4), (5, 5), (1, 1), (1, 40)])
def test_grids_of_tiles_are_those_of_hugging_face(least: int, most: int) -> None:
    sizes = [(448, 448), (896, 896), (1, 1), (500, 1000), (1000, 500), (640, 640), (1344, 1344), (7, 300), (3000, 2000)]
    sizes += [tuple(pair) for pair in np.random.default_rng(0).integers(1, 2000, (200, 2)).tolist()]
    for height, width in sizes:
        columns, rows = get_optimal_tiled_canvas((height, width), (448, 448), least, most)
        found = tile_canvas(height, width, min_tiles=least, max_tiles=most)
        assert found == (448 * rows, 448 * columns), (height, width)


@pytest.mark.parametrize("size", [(40, 30), (640, 480), (300, 60), (448, 448), (90, 700), (900, 900)])
def test_pixels_equal_the_hugging_face_processor(size: tuple[int, int], folder: str, tokenizer: ChatTokenizer) -> None:
    processor = AutoImageProcessor.from_pretrained(folder)
    data = noise_png(3, size[1], size[0])
    image = encoded_image(tokenizer, Image(data, "k", *size))
    with PIL.Image.open(io.BytesIO(data)) as picture:
        theirs = processor(images=[picture], return_tensors="np")
        plain = GotOcr2ImageProcessorPil(
            crop_to_patches=True, max_patches=6, size=processor.size, do_normalize=False, do_rescale=False
        )
        pixels = plain(images=[picture], return_tensors="np")["pixel_values"]
    assert theirs["num_patches"].tolist() == [image.grid[0]] and image.grid[1:] == (32, 32)
    assert image.num_tokens == 256 * image.grid[0]
    ours = as_tiles(patches_of(image))
    colours = (np.array(values).reshape(3, 1, 1) for values in (INTERNVL.std, INTERNVL.mean))
    np.testing.assert_array_equal(((ours * next(colours) + next(colours)) * 255).round(), pixels)
    np.testing.assert_allclose(ours, theirs["pixel_values"], atol=1e-6)


def as_tiles(patches: np.ndarray) -> np.ndarray:
    """[tiles, 3, 448, 448] from patches [P, 588], of which the four of a vision token stand together."""
    grid = patches.reshape(-1, 16, 16, 2, 2, 3, 14, 14)
    return grid.transpose(0, 5, 1, 3, 6, 2, 4, 7).reshape(-1, 3, 448, 448)


def test_the_written_processor_is_that_of_internvl(folder: str) -> None:
    processor = AutoImageProcessor.from_pretrained(folder)
    assert isinstance(processor, GotOcr2ImageProcessorPil) and processor.crop_to_patches
    assert (processor.min_patches, processor.max_patches) == (1, 6)
    assert dict(processor.size) == {"height": 448, "width": 448}
    assert '"processor_class": "InternVLProcessor"' in Path(folder, "preprocessor_config.json").read_text()


def test_tokens_equal_the_chat_template_as_its_processor_expands_it(folder: str, tokenizer: ChatTokenizer) -> None:
    encoded, segments = Encoder(tokenizer, CONFIG).encode_segments(SEEING, [STILL, WIDE])
    theirs: Any = AutoTokenizer.from_pretrained(folder)
    content = [{"type": kind, "text": text} for kind, text in (
        ("text", "Look: "), ("image", ""), ("text", "\nand "), ("image", ""), ("text", " What?")
    )]  # fmt: skip
    text = theirs.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    assert [image.grid for image in encoded.images] == [(7, 32, 32), (3, 32, 32), (3, 32, 32)]
    # To make the processor itself takes a video processor, which needs torchvision.
    made: Any = SimpleNamespace(
        image_seq_length=256, start_image_token=theirs.start_image_token, end_image_token=theirs.end_image_token,
        image_token=theirs.context_image_token,
    )  # fmt: skip
    shown = [InternVLProcessor.replace_image_token(made, {"num_patches": [7, 3]}, place) for place in (0, 1)]
    assert shown[1] == f"<img>{'<IMG_CONTEXT>' * 768}</img>"
    first, second, third = text.split("<IMG_CONTEXT>")
    whole = f"{first}{shown[0]}{second}{shown[1]}{third}"
    assert encoded.prefix_ids.tolist() == theirs.encode(whole, add_special_tokens=False)
    own = theirs.encode(f"See {shown[1]} there.<|im_end|>", add_special_tokens=False)
    assert encoded.response_ids[0].tolist() == own
    assert segments.floors == (own.index(theirs.convert_tokens_to_ids("</img>")) + 2, 0)
    with pytest.raises(Exception, match="is shown no videos"):
        theirs.apply_chat_template([{"role": "user", "content": [{"type": "video"}]}], tokenize=False)


def test_the_mark_of_a_picture_in_a_text_stays_text(tokenizer: ChatTokenizer) -> None:
    marks = {tokenizer.special_ids[name] for name in ("<img>", "<IMG_CONTEXT>", "</img>")}
    assert not marks & set(tokenizer.encode("Is <img><IMG_CONTEXT></img> a picture?"))


def test_a_video_is_refused_with_its_cure(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(RecordError, match=r"unsupported_media: a video of 1 frames: .*media.videos=frames") as raised:
        Encoder(tokenizer, CONFIG).encode(SEEING, [STILL, Video((WIDE,), 2.0)])
    assert raised.value.reason == "unsupported_media"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_tiles": 7}, "encode.min_tiles=7 and encode.max_tiles=6: the first must be"),
        ({"family": "qwen3-vl"}, "encode.max_tiles=6: pictures for encode.family=qwen3-vl are not cut into tiles"),
        ({"family": "cubist"}, "encode.family='cubist' is unknown: choose one of qwen2.5-vl, qwen3-vl, internvl"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(
    changes: dict[str, Any], message: str, tokenizer: ChatTokenizer
) -> None:
    with pytest.raises(RecipeError, match=message):
        Encoder(tokenizer, replace(CONFIG, **changes))


def test_a_tokenizer_without_its_tokens_is_refused(tmp_path: Path) -> None:
    train_tokenizer(["What?"], 300, str(tmp_path))
    with pytest.raises(
        RecipeError, match="as <img> <IMG_CONTEXT> </img>, and the tokenizer has no special tokens <img>"
    ):
        Encoder(load_tokenizer(str(tmp_path)), CONFIG)


def test_shards_know_whom_their_pictures_are_for(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    encoded, segments = Encoder(tokenizer, CONFIG).encode_segments(SEEING, [STILL, WIDE])
    write_shard(str(tmp_path), "0", [ShardRow(SEEING, encoded, segments, "key")])
    row = ShardReader(*(read_table(url) for url in shard_urls(str(tmp_path), "0"))).encoded(0, Cut(0, (9999, 9999)), "")
    assert row.images == encoded.images
    assert {picture.format for picture in row.pictures} == {INTERNVL}
    assert INTERNVL != QWEN2_5_VL


def test_files_are_kept_as_they_came_since_tiles_and_the_small_picture_are_two_sizes(
    folder: str, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(WIDE.data)
    (tmp_path / "pairs.jsonl").write_text(
        '{"prompt": "<image>What?", "image": "a.png", "chosen": "Yes.", "rejected": "No."}\n'
    )
    config = PreprocessConfig(
        sources=[SourceConfig(name="pairs", path="pairs.jsonl")],
        data_root=str(tmp_path),
        output=str(tmp_path / "out"),
        tokenizer=folder,
        encode=CONFIG,
        media=MediaConfig(keep_original_bytes=0),
        split=SplitConfig(heldout_fraction=0.0),
    )
    prepare(config)
    data = PreparedData.open(config.output)
    [image] = data.encoded(0).images
    assert isinstance(image, EncodedImage)
    assert (image.data, image.resized, image.height, image.width) == (WIDE.data, False, 448, 896)
    assert data.rows["image_patches"].to_pylist() == [[3072]]


def test_addresses_of_what_was_prepared_before_stay() -> None:
    assert not {"min_tiles", "max_tiles"} & portable_config(PreprocessConfig())["encode"].keys()
    assert portable_config(PreprocessConfig(encode=CONFIG))["encode"]["max_tiles"] == 6
