"""Folders of frames through the whole of preprocessing into a packed row, as videos and as single frames."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_pages import PageReader
from video_toys import extract_frames, noise_png, write_film, write_frames

from data_pipeline.config import (
    DecontaminateConfig,
    EncodeConfig,
    MediaConfig,
    PreprocessConfig,
    RulesConfig,
    SourceConfig,
    SplitConfig,
)
from data_pipeline.dataset.layout import shard_urls
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.shards import read_table
from data_pipeline.encoding.encoder import EncodedImage, EncodedVideo
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.errors import RecipeError, RecordError
from data_pipeline.inspection.places import read_place
from data_pipeline.inspection.summary import summarise
from data_pipeline.media import Image, frames, load_image, load_video
from data_pipeline.media.video_file import FilmFrames, frames_in
from data_pipeline.pipeline import plan_units, prepare
from data_pipeline.records.comparison import MediaRef
from jobs.pages.data_page import render_page
from rm_core.batches.packed import collate
from rm_core.batches.pixels import patches_of
from rm_core.batches.positions import RowFormat

VIDEOS = {"even": (1, 2, 3, 4), "odd": (5, 6, 7), "one": (8,), "shared": (3, 4, 9), "long": tuple(range(20, 40))}


def record(video: str, **more: Any) -> dict[str, Any]:
    named = {"id": video, "video": f"clips/{video}", "prompt": f"What is {video}? <video> Say."}
    return {**named, "chosen": "a", "rejected": "b", **more}


@pytest.fixture
def config(tmp_path: Path) -> PreprocessConfig:
    """One record a video, one with a still image that is a frame too, and one whose frames differ in size."""
    data = tmp_path / "data"
    for name, seeds in VIDEOS.items():
        write_frames(data / "clips" / name, seeds)
    write_frames(data / "clips" / "mixed", (1, 2))
    (data / "clips" / "mixed" / "frame2.png").write_bytes(noise_png(3, 90, 60))
    still = {key: value for key, value in record("still").items() if key != "video"}
    records = [*map(record, VIDEOS), {**still, "image": "clips/even/frame0.png", "prompt": "Which?"}, record("mixed")]
    write_records(data / "pairs.jsonl", records)
    train_tokenizer(["What is it? Say a or b."], 300, str(tmp_path / "model"))
    return PreprocessConfig(
        sources=[SourceConfig(name="clips", path="pairs.jsonl", shape="mm_rlhf")],
        data_root=str(data),
        output=str(tmp_path / "out"),
        tokenizer=str(tmp_path / "model"),
        media=MediaConfig(frames_per_second=2.0, max_frames=6),
        encode=EncodeConfig(video_max_pixels=8 * 784),
        split=SplitConfig(heldout_fraction=0.0),
    )


def write_records(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


def row_format(config: PreprocessConfig) -> RowFormat:
    tokenizer = load_tokenizer(config.tokenizer)
    return RowFormat(image_token=tokenizer.image_token, video_token=tokenizer.video_token, time_per_second=2.0)


def by_id(data: PreparedData) -> dict[str, int]:
    return {name: place for place, name in enumerate(data.rows["id"].to_pylist())}


def video_of(data: PreparedData, name: str) -> EncodedVideo:
    (video,) = data.encoded(by_id(data)[name]).images
    assert isinstance(video, EncodedVideo)
    return video


def test_a_folder_of_frames_becomes_one_span_with_time(config: PreprocessConfig) -> None:
    counts = prepare(config).counts
    assert (counts.kept, counts.refused_by_reason) == (6, {"frames_differ": 1})
    data = PreparedData.open(config.output)
    assert video_of(data, "even").grid == (2, 4, 6), "60 x 90 pixels are 56 x 84"
    assert {name: video_of(data, name).grid[0] for name in VIDEOS} == {
        "even": 2, "odd": 2, "one": 1, "shared": 2, "long": 3
    }  # fmt: skip
    assert video_of(data, "even").seconds_per_step == 1.0, "two frames at two a second"
    assert video_of(data, "long").seconds_per_step == pytest.approx(19 / 5), "6 of 20 frames at two a second"
    tokenizer = load_tokenizer(config.tokenizer)
    text = tokenizer.decode(data.encoded(by_id(data)["odd"]).prefix_ids.tolist())
    span = "<|vision_start|>" + "<|video_pad|>" * 12 + "<|vision_end|>"
    assert text.partition("<|im_start|>user\n")[2] == (f"What is odd? {span} Say.<|im_end|>\n<|im_start|>assistant\n")
    assert [data.rows[name].to_pylist()[1] for name in ("image_patches", "span_frames")] == [[2 * 4 * 6], [3]]
    assert data.rows["span_frames"].to_pylist() == [[4], [3], [1], [3], [6], [0]]


def test_frames_come_out_as_they_went_in(config: PreprocessConfig) -> None:
    prepare(config)
    data = PreparedData.open(config.output)
    for name in ("odd", "shared"):
        files = [noise_png(seed) for seed in VIDEOS[name]]
        assert [frame.data for frame in video_of(data, name).frames] == files
        comparison = data.comparison(by_id(data)[name])
        assert comparison.media == (MediaRef(is_video=True, frames=tuple(files)),)
        assert comparison.image_slots() == [0]
    assert data.comparison(by_id(data)["still"]).media == (MediaRef(data=noise_png(1)),)


def test_a_frame_is_stored_once_a_size(config: PreprocessConfig) -> None:
    (shard,) = prepare(config).shards
    table = read_table(shard_urls(f"{config.output}/shards", shard.name)[1])
    distinct = {seed for name, seeds in VIDEOS.items() for seed in seeds if name != "long"}
    assert shard.num_images == len(table) == len(distinct) + 6, "three frames of two videos are stored once"
    smaller = replace(config, encode=EncodeConfig(video_max_pixels=4 * 784), output=f"{config.output}-small")
    (shard,) = prepare(smaller).shards
    table = read_table(shard_urls(f"{smaller.output}/shards", shard.name)[1])
    assert len(table) == len(distinct) + 6 + 1, "a still image and a frame of one file differ in size"
    sizes = sorted(zip(table["height"].to_pylist(), table["width"].to_pylist(), strict=True))
    assert {size: sizes.count(size) for size in sizes} == {(28, 56): len(distinct) + 6, (56, 84): 1}


def test_the_packed_row_of_prepared_videos(config: PreprocessConfig) -> None:
    prepare(config)
    data = PreparedData.open(config.output)
    items = [data.encoded(place) for place in range(len(data))]
    batch = collate(items, row_format=row_format(config))
    assert batch.image_grid.tolist() == [[2, 4, 6], [2, 4, 6], [1, 4, 6], [2, 4, 6], [3, 4, 6], [1, 4, 6]]
    assert batch.num_patches == sum(sum(patches) for patches in data.rows["image_patches"].to_pylist())
    expected = np.concatenate([patches_of(span) for item in items for span in item.images])
    np.testing.assert_array_equal(batch.pixel_values.numpy(), expected)
    start = sum(item.num_tokens for item in items[:4])
    long = items[4].prefix_ids == row_format(config).video_token
    times = np.unique(batch.position_ids[0, start : start + len(long)][long])
    assert (times - times[0]).tolist() == [0, 7, 15], "3.8 seconds a step, two positions a second"


def test_frames_can_still_be_shown_as_images(config: PreprocessConfig) -> None:
    frames = replace(config, media=replace(config.media, videos="frames"))
    counts = prepare(frames).counts
    assert (counts.kept, counts.refused) == (7, 0), "single images may differ in size"
    data = PreparedData.open(frames.output)
    shown = data.encoded(by_id(data)["odd"]).images
    assert [type(image) for image in shown] == [EncodedImage] * 3
    assert [image.data for image in shown] == [noise_png(seed) for seed in VIDEOS["odd"]]
    assert len(data.encoded(by_id(data)["long"]).images) == 6
    assert data.rows["span_frames"].to_pylist()[1] == [0, 0, 0]
    assert row_format(frames).video_token not in data.encoded(by_id(data)["odd"]).prefix_ids
    assert data.comparison(by_id(data)["odd"]).image_slots() == [0, 1, 2]


@pytest.mark.parametrize("family", ["qwen2.5-vl", "qwen3-vl"])
def test_a_file_is_prepared_as_the_folder_of_its_frames(config: PreprocessConfig, family: str) -> None:
    """Tokens, the times of Qwen3-VL among them, and pixels; at the rate that the file has."""
    clips = Path(config.data_root) / "clips"
    extract_frames(write_film(clips / "film.mp4", 23, rate=2, height=180, width=240), clips / "film")
    asked = {"prompt": "What is it? <video> Say."}
    write_records(clips.parent / "pairs.jsonl", [record("film", **asked), record("film.mp4", **asked)])
    config = replace(config, encode=EncodeConfig(family=family, video_max_pixels=8 * 1024))
    assert prepare(config).counts.kept == 2
    data = PreparedData.open(config.output)
    folder, file = (data.encoded(by_id(data)[name]) for name in ("film", "film.mp4"))
    np.testing.assert_array_equal(file.prefix_ids, folder.prefix_ids)
    assert (video_of(data, "film.mp4").seconds_per_step, len(video_of(data, "film.mp4").frames)) == (22 / 5, 6)
    np.testing.assert_array_equal(*(patches_of(one.images[0]) for one in (file, folder)))
    assert {frame.resized for frame in file.pictures} == {True}, "the shard holds what the model sees"


def test_a_file_is_decoded_once_for_records_in_a_row(config: PreprocessConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = Path(config.data_root) / "clips"
    write_film(clips / "film.mp4", 5)
    broken = clips / "cut.mp4"
    broken.write_bytes((clips / "film.mp4").read_bytes()[:-9])
    records = [record("film.mp4", id=f"{place}", prompt=f"What {place}?") for place in range(3)]
    write_records(clips.parent / "pairs.jsonl", [*records, record("cut.mp4")])
    decoded: list[str] = []

    def counted(data: bytes, name: str, media: MediaConfig) -> FilmFrames:
        decoded.append(name)
        return frames_in(data, name, media)

    monkeypatch.setattr(frames, "frames_in", counted)
    assert prepare(config).counts.refused_by_reason == {"broken_video": 1}
    assert decoded == ["'clips/film.mp4'", "'clips/cut.mp4'"]


def test_the_settings_of_videos_decide_what_is_made(config: PreprocessConfig) -> None:
    changes = [
        replace(config, media=replace(config.media, videos="frames")),
        replace(config, media=replace(config.media, frames_per_second=1.0)),
        replace(config, encode=EncodeConfig(video_max_pixels=784 * 4)),
        replace(config, media=replace(config.media, max_video_frames=9)),
    ]
    addresses = [plan_units(one)[0].address for one in (config, *changes)]
    assert len(set(addresses)) == 5


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"videos": "film"}, "media.videos='film' must be one of video, frames"),
        ({"frames_per_second": 0.0}, "media.frames_per_second=0.0 must be above 0"),
        ({"frames_per_second": float("inf")}, "media.frames_per_second=inf must be a finite number, above 0"),
        ({"frames_per_second": float("nan")}, "media.frames_per_second=nan"),
    ],
)
def test_mistakes_in_the_settings_are_named(config: PreprocessConfig, setting: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        plan_units(replace(config, media=replace(config.media, **setting)))


def test_equal_and_contaminated_videos_are_found(config: PreprocessConfig) -> None:
    data = Path(config.data_root)
    write_frames(data / "clips" / "copy", VIDEOS["odd"])
    write_frames(data / "clips" / "reversed", VIDEOS["odd"][::-1])
    asked = {"prompt": record("odd")["prompt"]}
    write_records(data / "pairs.jsonl", [record("odd"), record("copy", **asked), record("reversed", **asked)])
    manifest = prepare(config)
    assert (manifest.counts.kept, manifest.counts.refused_by_reason) == (2, {"duplicate": 1})
    (data / "bench").mkdir()
    (data / "bench" / "picture.png").write_bytes(noise_png(VIDEOS["odd"][1]))
    item = {
        "id": "7",
        "query": "Something else?",
        "response": ["c", "d"],
        "image": "picture.png",
        "human_ranking": [0, 1],
    }
    write_records(data / "bench" / "bench.jsonl", [item])
    against = SourceConfig(name="bench", path="bench/bench.jsonl", shape="vl_rewardbench")
    tested = replace(config, decontaminate=DecontaminateConfig(against=[against]), output=f"{config.output}-tested")
    assert prepare(tested).counts.refused_by_reason == {"contaminated": 2, "duplicate": 1}


def test_a_video_that_does_not_fit_is_refused_and_never_cut(config: PreprocessConfig) -> None:
    prepare(config)
    lengths = PreparedData.open(config.output).rows["prefix_length"].to_pylist()
    for policy in ("turns", "responses"):
        rules = RulesConfig(max_tokens=max(lengths), truncate=policy)
        tight = replace(config, rules=rules, output=f"{config.output}-{policy}")
        assert prepare(tight).counts.refused_by_reason == {"frames_differ": 1, "too_long": 1}
        data = PreparedData.open(tight.output)
        assert "long" not in by_id(data)
        collate([data.encoded(place) for place in range(len(data))], row_format=row_format(tight))


def test_the_page_shows_the_frames(config: PreprocessConfig) -> None:
    prepare(config)
    place = read_place(config.output)
    page = PageReader(render_page(place))
    html = render_page(place)
    assert "frame 3 of 3 of a video of 12 tokens, at 1.0 s" in html
    assert "frame 6 of 6 of a video of 18 tokens, at 9.5 s" in html
    assert len(page.pictures) == sum(min(6, len(seeds)) for seeds in VIDEOS.values()) + 1
    assert "1 images and 5 videos an epoch" in html
    budgets = summarise(place.manifest, place.rows(), place.refused()).budgets
    assert (budgets.images, budgets.videos) == (1, 5)
    assert budgets.vision_tokens == (2 + 2 + 1 + 2 + 3 + 1) * 6


def test_frames_of_two_sizes_name_the_folder(config: PreprocessConfig) -> None:
    root = config.data_root

    def load(ref: MediaRef) -> Image:
        return load_image(ref, root, config.media)

    with pytest.raises(RecordError, match=r"frames_differ: 3 frames of 'clips/mixed' have 2 sizes: 60 x 90, 90 x 60"):
        load_video(MediaRef(path="clips/mixed", is_video=True), root, config.media, load)
