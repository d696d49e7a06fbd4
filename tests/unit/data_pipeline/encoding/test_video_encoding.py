"""Videos among texts and images as tokens: template, sizes, cuts, and the way through a shard."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from data_pipeline.config import EncodeConfig
from data_pipeline.dataset.layout import shard_urls
from data_pipeline.dataset.shard_reader import ShardReader
from data_pipeline.dataset.shards import ShardRow, read_table, write_shard
from data_pipeline.encoding.encoder import EncodedVideo, Encoder
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, train_tokenizer
from data_pipeline.encoding.truncate import Cut, cut
from data_pipeline.errors import RecipeError
from data_pipeline.media import Image, Video
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part, Response, Turn
from rm_core.model_folder.processor_files import write_processor_files

STILL = Image(b"a", "ka", 112, 56)
FRAMES = tuple(Image(bytes([place]), f"k{place}", 640, 480) for place in range(5))
CLIP, SHORT = Video(FRAMES, 3.0), Video(FRAMES[1:3], 0.5)
MIXED = Comparison(
    id="7",
    source="s",
    prompt=(Turn("user", ("Look: ", ImageSlot(0), "\nand ", ImageSlot(1), " What?")),),
    responses=(
        Response(("See ", ImageSlot(1), " and then ", ImageSlot(2), " there, slowly."), 0),
        Response(("No ", ImageSlot(0), " and a long text behind it, which may go."), 1, 2.5),
        Response(("None.",), 1),
    ),
    media=(
        MediaRef(data=b"a"),
        MediaRef(is_video=True, frames=tuple(frame.data for frame in CLIP.frames)),
        MediaRef(is_video=True, frames=tuple(frame.data for frame in SHORT.frames)),
    ),
)
MEDIA = [STILL, CLIP, SHORT]
CONFIG = EncodeConfig(video_max_pixels=12 * 784)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tuple[ChatTokenizer, str]:
    path = str(tmp_path_factory.mktemp("model"))
    train_tokenizer([f"Look: and is the bus number {i} red?\n\nYes, No." for i in range(30)], 350, path)
    write_processor_files(path, EncodeConfig())
    return load_tokenizer(path), path


def test_tokens_equal_the_chat_template(tokenizer: tuple[ChatTokenizer, str]) -> None:
    loaded, folder = tokenizer
    encoded = Encoder(loaded, CONFIG).encode(MIXED, MEDIA)
    theirs: Any = AutoTokenizer.from_pretrained(folder)
    chat = [{"role": turn.role, "content": content(turn.parts)} for turn in MIXED.prompt]
    text = theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    text = text.replace("<|image_pad|>", "<|image_pad|>" * 8).replace("<|video_pad|>", "<|video_pad|>" * 36)
    assert encoded.prefix_ids.tolist() == theirs.encode(text, add_special_tokens=False)


def content(parts: tuple[Part, ...]) -> list[dict[str, str]]:
    kinds = ("image", "video", "video")
    return [{"type": "text", "text": one} if isinstance(one, str) else {"type": kinds[one.index]} for one in parts]


def test_frames_have_their_own_limit_of_pixels(tokenizer: tuple[ChatTokenizer, str]) -> None:
    first, clip, clip_again, short, last = Encoder(tokenizer[0], CONFIG).encode(MIXED, MEDIA).images
    assert isinstance(clip, EncodedVideo) and isinstance(short, EncodedVideo)
    assert clip_again == clip and last == first and first.grid == (1, 4, 8)
    assert (clip.height, clip.width, clip.grid) == (84, 112, (3, 6, 8)), "640 x 480 pixels within 12 tokens"
    assert (clip.num_patches, clip.num_tokens, clip.seconds_per_step) == (144, 36, 3.0)
    assert (short.num_tokens, short.seconds_per_step, clip.key) == (12, 0.5, CLIP.sha256)
    whole = Encoder(tokenizer[0], EncodeConfig()).encode(MIXED, MEDIA).images[1]
    assert whole.height * whole.width <= 128 * 784 < 480 * 640, "the default: 128 tokens a frame"


def test_a_limit_below_the_least_pixels_is_refused(tokenizer: tuple[ChatTokenizer, str]) -> None:
    with pytest.raises(RecipeError, match=r"encode\.min_pixels=3136 and encode\.video_max_pixels=3000"):
        Encoder(tokenizer[0], EncodeConfig(video_max_pixels=3000))


def test_no_cut_goes_through_a_video(tokenizer: tuple[ChatTokenizer, str], tmp_path: Path) -> None:
    loaded = tokenizer[0]
    encoded, segments = Encoder(loaded, CONFIG).encode_segments(MIXED, MEDIA)
    assert segments.images == (0, 2, 0)
    write_shard(str(tmp_path), "0", [ShardRow(MIXED, encoded, segments, "key")])
    reader = ShardReader(*(read_table(url) for url in shard_urls(str(tmp_path), "0")))
    lengths = [len(ids) for ids in encoded.response_ids]
    pads, kept = [vision_tokens(ids, loaded) for ids in encoded.response_ids], 0
    assert pads == [36 + 12, 8, 0]
    for limit in range(len(encoded.prefix_ids), encoded.length + 1):
        found = cut(segments.lengths, segments.images, lengths, segments.floors, limit, "responses")
        if found is None:
            continue
        kept += 1
        row = reader.encoded(0, found, "")
        assert row.length <= limit and row.images == encoded.images
        assert [vision_tokens(ids, loaded) for ids in row.response_ids] == pads
    assert kept == encoded.length - len(encoded.prefix_ids) - segments.floors[0] + 1


def vision_tokens(ids: np.ndarray, tokenizer: ChatTokenizer) -> int:
    return int(np.isin(ids, (tokenizer.image_token, tokenizer.video_token)).sum())


def test_a_row_of_images_and_videos_comes_back(tokenizer: tuple[ChatTokenizer, str], tmp_path: Path) -> None:
    encoded, segments = Encoder(tokenizer[0], CONFIG).encode_segments(MIXED, MEDIA)
    other = replace(MIXED, id="8", responses=MIXED.responses[::-1], media=MIXED.media)
    again, segments_again = Encoder(tokenizer[0], CONFIG).encode_segments(other, MEDIA)
    rows = [ShardRow(MIXED, encoded, segments, "key"), ShardRow(other, again, segments_again, "other")]
    info, pictures = write_shard(str(tmp_path), "0", rows)
    assert info.num_images == 6 and pictures[0] == [0, *range(1, 6), *range(1, 6), 2, 3, 0]
    reader = ShardReader(*(read_table(url) for url in shard_urls(str(tmp_path), "0")))
    for place, row in enumerate(rows):
        whole = Cut(0, tuple(len(ids) for ids in row.encoded.response_ids))
        assert reader.encoded(place, whole, "").images == row.encoded.images
    assert reader.comparison(0, "train") == replace(MIXED, split="train")
    found = reader.comparison(1, "train")
    assert [found.media[slot] for slot in found.image_slots()] == [MIXED.media[slot] for slot in other.image_slots()]
    table = read_table(shard_urls(str(tmp_path), "0")[0])
    assert table["span_frames"].to_pylist()[0] == [0, 5, 5, 2, 0]
    assert table["span_seconds"].to_pylist()[0] == [0.0, 3.0, 3.0, 0.5, 0.0]


def test_one_folder_at_two_speeds_is_two_media(tokenizer: tuple[ChatTokenizer, str], tmp_path: Path) -> None:
    slower = replace(CLIP, seconds_per_step=9.0)
    encoded, segments = Encoder(tokenizer[0], CONFIG).encode_segments(MIXED, [STILL, CLIP, slower])
    info, _ = write_shard(str(tmp_path), "0", [ShardRow(MIXED, encoded, segments, "key")])
    reader = ShardReader(*(read_table(url) for url in shard_urls(str(tmp_path), "0")))
    assert info.num_images == 6 and reader.comparison(0, "").image_slots() == [0, 1, 1, 2, 0]
