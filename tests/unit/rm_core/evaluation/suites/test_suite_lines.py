"""Rows of a suite as lines to score: their pictures and videos, and what is done where one is not there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from prepared_toys import scene
from suite_toys import mm_rlhf, write_suite

from data_pipeline.config import EncodeConfig, MediaConfig
from data_pipeline.encoding.encoder import EncodedVideo, Encoder
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, train_tokenizer
from data_pipeline.errors import MissingInput
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from data_pipeline.sources.readers.files import RowRange
from rm_core.evaluation.suites.files import SuiteData, open_suite
from rm_core.evaluation.suites.lines import SuiteReader
from rm_core.evaluation.suites.registry import SUITES
from rm_core.evaluation.suites.rows import without_media
from rm_core.scoring.lines import Line

VIDEO_ROW = 145


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    folder = str(tmp_path_factory.mktemp("tokens"))
    train_tokenizer(["What is it? Right. Wrong."], 300, folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SuiteData:
    """A suite with the pictures of two rows: one still, and the frames of one video."""
    records = mm_rlhf()
    folder = write_suite(tmp_path_factory.mktemp("suites"), "mm_rlhf_rewardbench", records)
    names = [records[0]["image"], *(f"{records[VIDEO_ROW]['video']}/{frame}.png" for frame in range(3))]
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(scene(seed))
    return open_suite(SUITES["mm_rlhf_rewardbench"], str(folder))


def read(
    data: SuiteData,
    tokenizer: ChatTokenizer,
    row: int,
    *,
    without: bool = False,
    tokens: int = 900,
    videos: str = "video",
) -> Line:
    reader = SuiteReader(
        data, Encoder(tokenizer, EncodeConfig()), MediaConfig(videos=videos), tokens, without_pictures=without
    )
    (line,) = reader.lines(RowRange(row, 1))
    return line


def test_a_row_is_read_with_its_picture_and_keeps_what_names_it(data: SuiteData, tokenizer: ChatTokenizer) -> None:
    line = read(data, tokenizer, 0)
    fields = json.loads(line.fields)
    assert (fields["suite"], fields["index"], fields["id"]) == ("mm_rlhf_rewardbench", 0, "mcq-0")
    assert line.encoded is not None and [one.key for one in line.encoded.pictures] == fields["pictures"]
    assert fields["missing_pictures"] == 0 and fields["hashes"][0] > 0


@pytest.mark.parametrize(("videos", "spans"), [("video", 1), ("frames", 3)])
def test_a_video_is_shown_as_training_shows_it(
    videos: str, spans: int, data: SuiteData, tokenizer: ChatTokenizer
) -> None:
    line = read(data, tokenizer, VIDEO_ROW, videos=videos)
    assert line.encoded is not None and len(line.encoded.images) == spans
    assert isinstance(line.encoded.images[0], EncodedVideo) == (videos == "video")
    assert len(json.loads(line.fields)["pictures"]) == 3


@pytest.mark.parametrize("row", [1, VIDEO_ROW + 1])
@pytest.mark.parametrize("videos", ["video", "frames"])
def test_a_missing_picture_is_an_error_or_is_counted(
    row: int, videos: str, data: SuiteData, tokenizer: ChatTokenizer
) -> None:
    with pytest.raises(MissingInput, match=rf"row {row} of mm_rlhf_rewardbench .*evaluate\.missing_pictures=without"):
        read(data, tokenizer, row, videos=videos)
    line = read(data, tokenizer, row, without=True, videos=videos)
    assert line.encoded is not None and line.encoded.images == ()
    assert json.loads(line.fields)["missing_pictures"] == 1


def test_a_picture_that_is_none_is_an_error_whatever_is_said(data: SuiteData, tokenizer: ChatTokenizer) -> None:
    place = Path(data.folder) / "mcq" / "2.png"
    place.write_bytes(b"no picture")
    for without in (False, True):
        with pytest.raises(MissingInput, match="row 2 of mm_rlhf_rewardbench can't be read: broken_image"):
            read(data, tokenizer, 2, without=without)


def test_pictures_may_lie_elsewhere(data: SuiteData, tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    (tmp_path / "mcq").mkdir()
    (tmp_path / "mcq" / "1.png").write_bytes(scene(8))
    line = read(replace(data, media_root=str(tmp_path)), tokenizer, 1)
    assert line.encoded is not None and len(line.encoded.images) == 1


def test_a_row_that_is_too_long_is_a_line_without_rewards(data: SuiteData, tokenizer: ChatTokenizer) -> None:
    line = read(data, tokenizer, 0, tokens=20)
    assert line.encoded is None and (line.error or "").startswith("too_long")


def test_slots_go_with_their_pictures() -> None:
    comparison = Comparison(
        id="1", source="s", prompt=(Turn("user", (ImageSlot(0), "and", ImageSlot(1), "?")),),
        responses=(Response((ImageSlot(2), "a"), 0), Response(("b",), 1)),
        media=tuple(MediaRef(path=str(place)) for place in range(3)),
    )  # fmt: skip
    left = without_media(comparison, [0])
    assert left.prompt[0].parts == ("and", ImageSlot(0), "?") and left.responses[0].parts == (ImageSlot(1), "a")
    assert [ref.path for ref in left.media] == ["1", "2"]
    assert without_media(comparison, []) is comparison
