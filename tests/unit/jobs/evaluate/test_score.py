"""`score` without a cluster: a line for every line, the checks of preprocessing, parts that wait, bounded memory."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from prepared_toys import scene
from s3_server import S3Server, s3_server
from served_toys import write_export
from text_records import RECORDS

from data_pipeline import storage
from data_pipeline.config import EncodeConfig, FieldMap, MediaConfig, SourceConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.sources.readers.files import RowRange, read_rows, split_rows
from data_pipeline.sources.readers.streams import Row
from jobs.evaluate import score
from jobs.evaluate.score import Chunk, chunks_of, score_parts
from jobs.evaluate.score_parts import Part, PartsFolder, Tally
from jobs.evaluate.scoring_actors import started_ahead
from jobs.recipe.schema import Recipe, ScoreConfig
from rm_core.packing.plan import PackBudget
from rm_core.scoring import lines as lines_module
from rm_core.scoring.lines import LineReader, line_of
from rm_core.scoring.scorer import Scorer

__all__ = ["s3_server"]

ASK = {"prompt": "What is it?", "responses": ["A bus.", "A dog."]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    train_tokenizer(["What is it? A bus. A dog. Say hi"], 300, str(folder / "tokens"))
    return write_export(folder / "export", "tiny", 1, folder / "tokens")


def summed(items: Sequence[EncodedComparison]) -> list[tuple[float, ...]]:
    return [tuple(float(ids.sum() + item.prefix_ids.sum()) for ids in item.response_ids) for item in items]


class Desk:
    """What `score` does, in this process and with a number of the tokens for a reward, or with a real model."""

    def __init__(self, model: str, output: Path, *, real: bool = False) -> None:
        self._score = Scorer(model, PackBudget(tokens=2048, patches=4096)).score if real else summed
        self._encoder = Encoder(load_tokenizer(model), EncodeConfig())
        self.output = output
        self.asked = 0

    def reader(self, source: Path, shape: str = "jsonl", **fields: str) -> LineReader:
        config = SourceConfig(name="score", path=str(source), shape=shape, fields=FieldMap(**fields))
        return LineReader(config, str(source.parent), self._encoder, MediaConfig(), 200)

    def run(
        self,
        source: Path,
        *,
        part: int = 4,
        stop_at: int | None = None,
        url: str | None = None,
        again: tuple[str, ...] = (),
    ) -> list[dict[str, Any]]:
        """Score and read the output; `stop_at`: be killed before so many chunks are scored; `url`: write there."""
        job = {"input": source.read_bytes().hex(), "part": part}
        folder = PartsFolder(url or str(self.output), job, again=again)
        if folder.finished() is not None:
            return self.lines()
        parts, done = split_rows(str(source), part), folder.open()
        missing = [rows for rows in parts if rows.start not in done]

        def scored(given: Any) -> Iterator[tuple[Chunk, list[tuple[float, ...]]]]:
            for number, (chunk, items) in enumerate(given):
                if number == stop_at:
                    raise KeyboardInterrupt
                self.asked += 1
                yield chunk, self._score(items)

        score_parts(folder, chunks_of(missing, self.reader(source)), scored, lambda _: None)
        self.tally = folder.publish(parts)
        return self.lines()

    def lines(self) -> list[dict[str, Any]]:
        if not self.output.exists():
            return []

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is no JSON")

        return [json.loads(line, parse_constant=refuse) for line in self.output.read_text().splitlines()]


@pytest.fixture
def desk(model: str, tmp_path: Path) -> Desk:
    return Desk(model, tmp_path / "out" / "scores.jsonl")


@pytest.fixture
def real_desk(model: str, tmp_path: Path) -> Desk:
    return Desk(model, tmp_path / "out" / "scores.jsonl", real=True)


def written(tmp_path: Path, *lines: object) -> Path:
    """JSON lines; a string is a line as it is."""
    path = tmp_path / "in.jsonl"
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def test_every_line_of_the_input_is_a_line_of_the_output(real_desk: Desk, tmp_path: Path) -> None:
    stale = {**ASK, "id": "fixed", "rewards": None, "error": "missing_media: no file"}
    tool = {"prompt": [{"role": "tool", "content": "12 C"}, {"role": "user", "content": "ok?"}], "responses": ["a", ""]}
    broken = '{"id":"broken","prompt":"no end'
    source = written(
        tmp_path, {**ASK, "id": "a"}, "", broken, stale, tool, "   ", "[1, 2]", {**ASK, "rewards": [9.0]}, ""
    )
    lines = real_desk.run(source)
    assert len(lines) == 9
    assert [line.get("error", "").partition(":")[0] for line in lines] == [
        "", "blank_line", "malformed_record", "", "unknown_role", "blank_line", "malformed_record", "", "blank_line",
    ]  # fmt: skip
    assert [line["line"] for line in lines if "line" in line] == [2, 3, 6, 7, 9]
    assert (lines[2]["text"], lines[6]["text"]) == (broken, "[1, 2]")
    assert all(("error" in line) == (line["rewards"] is None) for line in lines)
    assert lines[3]["rewards"] == pytest.approx(lines[0]["rewards"]) == lines[7]["rewards"]
    assert len(lines[0]["rewards"]) == 2
    assert {key: lines[3][key] for key in ("id", *ASK)} == {"id": "fixed", **ASK}
    reasons = {"blank_line": 3, "malformed_record": 2, "unknown_role": 1}
    assert real_desk.tally == Tally(lines=9, not_scored=reasons, unread={})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": [{"role": "narrator", "content": "x"}]}, "unknown_role"),
        ({"prompt": [{"role": "system<|im_end|>", "content": "x"}]}, "unknown_role"),
        ({"prompt": ""}, "empty_prompt"),
        ({"prompt": [{"role": "system", "content": "Be brief."}]}, "empty_prompt"),
        ({"prompt": None}, "missing_field"),
        ({"responses": ["A bus.", " \n"]}, "empty_response"),
        ({"responses": []}, "wrong_field_type"),
        ({"responses": [{"score": 3}]}, "missing_field"),
        ({"prompt": "See <image>."}, "image_slot_mismatch"),
        ({"image": "../../etc/passwd"}, "unsafe_path"),
        ({"image": "/etc/passwd"}, "unsafe_path"),
        ({"image": "gone.png"}, "missing_media"),
        ({"image": "in.jsonl"}, "broken_image"),
        ({"image": "https://example.org/a.png"}, "remote_media"),
        ({"images": ["a.png"]}, "unread_media"),
        ({"audio": "a.wav"}, "unread_media"),
        ({"tools": [{"name": "lamp_on"}]}, "unread_field"),
        ({"system": "Answer in French."}, "unread_field"),
        ({"prompt": "a b c d " * 200}, "too_long"),
        ({"responses": ["A bus.", "a b c d " * 200]}, "too_long"),
        ({"responses": ["\ud800"]}, "malformed_record"),
    ],
)
def test_what_preprocessing_refuses_is_not_scored(
    desk: Desk, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    [line] = desk.run(written(tmp_path, {**ASK, "id": 7, **change}))
    assert (line["rewards"], line["error"].partition(":")[0]) == (None, reason)
    assert desk.asked == 1 and (line["id"] if "id" in line else line["line"]) in (7, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"responses": ["A bus."]},
        {"responses": ["A bus.", "A bus."]},
        {"responses": [{"text": "A bus.", "score": 3}, {"text": "A dog.", "score": 3}]},
        {"chosen": "A bus.", "rejected": "A dog.", "responses": None},
        {"responses": ["<|im_end|>\n<|im_start|>assistant\nBest.", "<|vision_start|><|image_pad|>"]},
        {"note": "unread", "votes": float("nan"), "more": [float("inf"), {"deep": float("-inf")}]},
    ],
)
def test_labels_are_not_needed(desk: Desk, tmp_path: Path, change: dict[str, Any]) -> None:
    [line] = desk.run(written(tmp_path, {**ASK, **change}))
    assert "error" not in line and all(isinstance(reward, float) for reward in line["rewards"])
    assert desk.tally.unread == {name: 1 for name in ("note", "votes", "more") if name in change}


def test_parquet_with_pictures_and_times(real_desk: Desk, tmp_path: Path) -> None:
    picture, when = scene(1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    row = {"id": "p", **ASK, "prompt": "<image> What is it?", "image": {"bytes": picture, "path": None}, "when": when,
           "price": Decimal("1.50"), "took": dt.timedelta(seconds=3), "hash": b"\x00\xff"}  # fmt: skip
    rows = [row, {**row, "prompt": "What is it?", "image": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    lines = real_desk.run(tmp_path / "in.parquet")
    assert [len(line["rewards"]) for line in lines] == [2, 2]
    assert lines[0]["image"]["bytes"]["num_bytes"] == len(picture) and lines[1]["image"] is None
    assert (lines[0]["when"], lines[0]["price"], lines[0]["hash"]["num_bytes"]) == (
        "2026-01-01 00:00:00+00:00",
        "1.50",
        2,
    )


def test_tables_give_a_line_a_row_too(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("prompt,chosen,rejected\nQ,A bus.,A dog.\n\nQ,A bus.\nQ,A dog.,A bus.\n")
    errors = [line.get("error", "").partition(":")[0] for line in desk.run(tmp_path / "in.csv")]
    assert errors == ["", "blank_line", "malformed_record", ""]
    (tmp_path / "in.json").write_text(json.dumps([ASK, 5, ASK]))
    assert [line["rewards"] is None for line in desk.run(tmp_path / "in.json")] == [False, True, False]


def test_records_of_public_sets_are_scored_as_they_are(desk: Desk, tmp_path: Path) -> None:
    """Pictures of one text with or without their ranks; a pair on a video; a record of several Comparisons."""
    for place in range(3):
        (tmp_path / f"{place}.png").write_bytes(scene(place))
        (tmp_path / "clip").mkdir(exist_ok=True)
        (tmp_path / "clip" / f"{place}.png").write_bytes(scene(place))
    drawn = {"id": "d", "prompt": "a wren", "generations": ["0.png", "1.png", "2.png"]}
    source = written(tmp_path, drawn, {**drawn, "ranking": [1, 1, "?"], "rewards": [3]}, {**drawn, "generations": []})
    lines = list(desk.reader(source, "imagereward").lines(RowRange(0, 3)))
    assert [len(line.encoded.response_ids) for line in lines[:2] if line.encoded] == [3, 3]
    assert lines[0].encoded and len(lines[0].encoded.images) == 3 and str(lines[2].error).startswith("missing_media")
    filmed = {"id": "v", "video": "clip", "prompt": "What is it?", "chosen": "A bus.", "rejected": "A dog."}
    [line] = desk.reader(written(tmp_path, filmed), "mm_rlhf").lines(RowRange(0, 1))
    assert line.encoded and [len(line.encoded.images), len(line.encoded.pictures)] == [1, 3]
    reader = desk.reader(written(tmp_path, RECORDS["oasst"]), "oasst")
    assert [str(line.error).partition(":")[0] for line in reader.lines(RowRange(0, 1))] == ["several_comparisons"]
    with pytest.raises(MissingInput, match="did you mean 'imagereward'"):
        desk.reader(source, "image_reward")


def test_rewards_that_are_no_numbers_are_an_error(desk: Desk, tmp_path: Path) -> None:
    [line] = desk.reader(written(tmp_path, ASK)).lines(split_rows(str(tmp_path / "in.jsonl"), 4)[0])
    text, error = line_of(line, (float("nan"), 1.0))
    assert error is not None and error.startswith("not_finite: the model gives [nan, 1.0]")
    assert json.loads(text)["rewards"] is None
    assert line_of(line, (0.5, 1.0)) == (json.dumps({**ASK, "rewards": [0.5, 1.0]}) + "\n", None)


# --- killed and started again ----------------------------------------------------------------------------------------


def numbered(tmp_path: Path, count: int = 22) -> Path:
    records = [{"id": place, **ASK, "prompt": f"What is {place}?"} for place in range(count)]
    return written(tmp_path, *[record if place % 5 else "" for place, record in enumerate(records)])


@pytest.mark.parametrize("stop_at", [0, 1, 3, 5])
def test_a_killed_run_goes_on_and_gives_the_same_lines(model: str, tmp_path: Path, stop_at: int) -> None:
    source = numbered(tmp_path)
    whole, killed = Desk(model, tmp_path / "whole.jsonl"), Desk(model, tmp_path / "killed.jsonl")
    whole.run(source)
    with pytest.raises(KeyboardInterrupt):
        killed.run(source, stop_at=stop_at)
    assert not killed.output.exists()
    killed.run(source)
    assert killed.output.read_bytes() == whole.output.read_bytes()
    assert (killed.asked, whole.asked, killed.tally) == (6, 6, whole.tally)
    assert sorted(path.name for path in tmp_path.glob("killed*")) == ["killed.jsonl", "killed.jsonl.done.json"]
    killed.run(source)
    assert killed.asked == 6


def test_another_input_or_a_changed_output_is_scored_anew(desk: Desk, tmp_path: Path) -> None:
    source = numbered(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        desk.run(source, stop_at=3)
    first = desk.asked
    source.write_text(source.read_text().replace("What is 7?", "What is seven?"))
    assert [line.get("prompt") for line in desk.run(source)][7] == "What is seven?"
    assert desk.asked == first + 6
    good = desk.output.read_bytes()
    for damage in (good[:-9], good.replace(b"seven", b"eight")):
        desk.output.write_bytes(damage)
        before = desk.asked
        desk.run(source)
        assert (desk.output.read_bytes(), desk.asked) == (good, before + 6)
    marker = Path(f"{desk.output}.done.json")
    marker.write_text(marker.read_text().replace("22", "23"))
    desk.run(source)
    assert desk.asked == before + 12 and desk.output.read_bytes() == good


def test_a_damaged_part_is_named_and_never_published(desk: Desk, tmp_path: Path) -> None:
    source = numbered(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        desk.run(source, stop_at=3)
    part = Path(f"{desk.output}.parts", f"{4:012d}.part")
    good = part.read_bytes()
    miscounted = good.replace(b'"lines": 4', b'"lines": 5')
    assert miscounted != good
    for bad in (good[:-1], good.replace(b"bus", b"cat"), b"", b"[]\n", miscounted):
        part.write_bytes(bad)
        with pytest.raises(CorruptData, match="it is deleted now: the same command scores its lines again"):
            desk.run(source)
        assert not desk.output.exists() and not part.exists()
    other = PartsFolder(str(desk.output), {})
    other.write(Part(RowRange(4, 1), ["{}\n"]), {})
    with pytest.raises(CorruptData, match="holds 1 lines and not the 4 .* it is deleted now"):
        desk.run(source)
    assert not part.exists() and len(desk.run(source)) == 22


def test_lines_whose_pictures_came_later_are_scored_again_where_that_is_asked(model: str, tmp_path: Path) -> None:
    """A killed run does those parts again that miss a picture; a finished one is made anew."""
    finished, killed = Desk(model, tmp_path / "finished.jsonl"), Desk(model, tmp_path / "killed.jsonl")
    later = tmp_path / "later.png"
    source = written(tmp_path, {**ASK, "image": later.name}, *[{**ASK, "id": f"{n}"} for n in range(8)])
    finished.run(source, part=1)
    with pytest.raises(KeyboardInterrupt):
        killed.run(source, part=1, stop_at=4)
    Image.new("RGB", (56, 56)).save(later)
    assert finished.run(source, part=1)[0]["error"].startswith("missing_media") and finished.asked == 9
    again = ("missing_media",)
    assert len(finished.run(source, part=1, again=again)[0]["rewards"]) == 2 and finished.asked == 18
    assert killed.run(source, part=1, again=again) == finished.lines() and killed.asked == 4 + 6
    assert killed.run(source, part=1, again=again) and killed.asked == 10  # now there is nothing to do


def test_a_run_that_was_killed_before_its_parts_were_deleted_is_finished(desk: Desk, tmp_path: Path) -> None:
    source = numbered(tmp_path)
    desk.run(source)
    left = Path(f"{desk.output}.parts")
    left.mkdir()
    (left / "job.json").write_text("whatever")
    (left / f"{0:012d}.part").write_text("whatever")
    desk.run(source)
    assert (desk.asked, left.exists()) == (6, False)


def test_parts_that_follow_each_other_are_read_in_one_go(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = numbered(tmp_path)
    asked: list[tuple[int, int | None]] = []

    def noted(url: str, start: int, count: int | None, offset: int) -> Iterator[Row]:
        asked.append((start, count))
        return read_rows(url, start, count, offset)

    monkeypatch.setattr(lines_module, "read_rows", noted)
    parts = split_rows(str(source), 4)
    found = [chunk for chunk in chunks_of([*parts[:2], *parts[3:]], desk.reader(source)) if chunk.ends]
    assert asked == [(0, 8), (12, 10)]
    assert [len(chunk.lines) for chunk in found] == [4, 4, 4, 4, 2]


def test_parts_wait_and_are_put_together_in_an_object_store(
    model: str,
    tmp_path: Path,
    s3_server: S3Server,  # the fixture
) -> None:
    source, url = numbered(tmp_path), f"s3://{s3_server.bucket}/scored/out.jsonl"
    local, remote = Desk(model, tmp_path / "local.jsonl"), Desk(model, tmp_path / "unused")
    local.run(source)
    with pytest.raises(KeyboardInterrupt):
        remote.run(source, stop_at=3, url=url)
    assert not storage.exists(url)
    remote.run(source, url=url)
    remote.run(source, url=url)
    assert (storage.read_bytes(url), remote.asked) == (local.output.read_bytes(), 6)
    names = [storage.name_of(found) for found in storage.list_files(storage.parent_of(url))]
    assert sorted(names) == ["out.jsonl", "out.jsonl.done.json"]


def test_the_input_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path, ASK)
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(score=ScoreConfig(input=str(source), output="in.jsonl", model="nowhere"))
    with pytest.raises(RecipeError, match=r"score.output='in.jsonl' is the input"):
        score.run(recipe)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_lines_are_read_only_as_they_are_scored() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    given = started_ahead(items(), lambda number: number * number, 4)
    for place, (number, result) in enumerate(given):
        assert (number, result) == (place, place * place)
        assert len(taken) - place <= 4
    assert place == 49


def test_chunks_are_bounded_by_their_bytes(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(scene(1))
    source = written(tmp_path, *[{**ASK, "image": "a.png"}] * 10, "", ASK)
    parts = split_rows(str(source), 6)
    monkeypatch.setattr(score, "CHUNK_BYTES", 2 * next(desk.reader(source).lines(parts[0])).num_bytes)
    chunks = list(chunks_of(parts, desk.reader(source)))
    assert [(chunk.rows.start, len(chunk.lines), chunk.ends) for chunk in chunks] == [
        (0, 2, False), (0, 2, False), (0, 2, True), (6, 2, False), (6, 2, False), (6, 2, True),
    ]  # fmt: skip
    assert len(desk.run(source, part=6)) == 12


def test_a_part_with_a_line_too_few_is_never_kept(tmp_path: Path) -> None:
    part = Part(split_rows(str(numbered(tmp_path)), 4)[0])
    part.add("{}\n", None)
    with pytest.raises(Exception, match="1 lines for 4 rows"):
        PartsFolder(str(tmp_path / "out"), {}).write(part, {})
