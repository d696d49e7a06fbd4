"""The synthetic set: same bytes for a seed, whole records but for the planted ones, and no short cut to the answers."""

import io
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from data_pipeline import storage
from data_pipeline.config import MediaConfig, SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.media import load_image
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.readers.files import read_rows
from data_pipeline.sources.registry import adapter_of
from data_pipeline.synthetic import SyntheticReport, write_synthetic
from data_pipeline.synthetic.scenes import COLOURS
from data_pipeline.synthetic.tasks import Task, text_pair_task, visual_pair_task, visual_task

NUM_COMPARISONS = 400
COLOUR_WORD = re.compile("|".join(COLOURS))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SyntheticReport]:
    folder = tmp_path_factory.mktemp("synthetic")
    return folder, write_synthetic(str(folder), num_comparisons=NUM_COMPARISONS, seed=5)


def accept(source: SourceConfig, folder: Path, record: object, row: int) -> Comparison:
    """The way of a record through adapter, cleaning and image check."""
    if isinstance(record, RecordError):
        raise record
    assert isinstance(record, dict)
    comparison = adapter_of(source.shape)(record, source, row)
    check(comparison)
    for ref in comparison.media:
        load_image(ref, str(folder / storage.parent_of(source.path)), MediaConfig())
    return comparison


def accepted(written: tuple[Path, SyntheticReport]) -> tuple[list[Comparison], Counter[str]]:
    folder, report = written
    kept: list[Comparison] = []
    refused: Counter[str] = Counter()
    for source in report.sources:
        for row, record in read_rows(str(folder / source.path)):
            try:
                kept.append(accept(source, folder, record, row))
            except RecordError as error:
                refused[error.reason] += 1
    return kept, refused


def test_the_real_adapters_keep_the_good_and_refuse_the_planted(written: tuple[Path, SyntheticReport]) -> None:
    kept, refused = accepted(written)
    report = written[1]
    assert dict(refused) == report.planted
    assert {"broken_image", "missing_media", "empty_response", "identical_responses"} <= set(refused)
    assert Counter(comparison.source for comparison in kept) == report.good
    assert sum(report.good.values()) == NUM_COMPARISONS
    assert {comparison.num_responses for comparison in kept} == {2, 3, 4}
    assert sum(bool(comparison.media) for comparison in kept) / len(kept) == pytest.approx(0.6, abs=0.01)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_seed_fixes_every_byte(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_synthetic(str(tmp_path / name), num_comparisons=40, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_no_record_twice(written: tuple[Path, SyntheticReport]) -> None:
    kept, _ = accepted(written)
    text_only = [
        (one.prompt, frozenset((response.text, response.rank) for response in one.responses))
        for one in kept
        if one.source == "pairs"
    ]
    assert len(set(text_only)) == len(text_only)


def test_the_rank_is_the_number_of_colours_that_are_in_the_pixels(written: tuple[Path, SyntheticReport]) -> None:
    folder, report = written
    captions = next(source for source in report.sources if source.name == "captions")
    kept, _ = accepted(written)
    for comparison in (one for one in kept if one.source == "captions"):
        assert comparison.media[0].path is not None
        data = (folder / storage.parent_of(captions.path) / comparison.media[0].path).read_bytes()
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        assert picture.size == (112, 112)
        seen = [picture.getpixel((28, 56)), picture.getpixel((84, 56))]
        for response in comparison.responses:
            said = [COLOURS[word] for word in COLOUR_WORD.findall(response.text)]
            assert response.rank == 2 - sum(a == b for a, b in zip(said, seen, strict=True))


@pytest.mark.parametrize("draw", [visual_pair_task, lambda rng: visual_task(rng, (2, 1, 1, 0)), text_pair_task])
def test_wording_length_and_place_tell_nothing(draw: Callable[[random.Random], Task]) -> None:
    """In 4,000 tasks every word is as often said rightly as wrongly, within 4 standard errors of a fair coin."""
    rng = random.Random(0)
    said: dict[str, Counter[bool]] = defaultdict(Counter)
    longer_wins: Counter[bool] = Counter()
    first_wins: Counter[bool] = Counter()
    for _ in range(4000):
        answers = draw(rng).answers
        worst, best = sorted((answers[0], answers[-1]), key=lambda answer: answer.num_right)
        if worst.num_right == best.num_right:
            continue
        for answer in (best, worst):
            for word in set(re.findall(r"[a-z]+", answer.text)):
                said[word][answer is best] += 1
        if len(best.text) != len(worst.text):
            longer_wins[len(best.text) > len(worst.text)] += 1
        first_wins[best is answers[0]] += 1
    assert set(COLOURS) <= set(said)
    for counts in (*said.values(), longer_wins, first_wins):
        total = counts.total()
        assert abs(counts[True] - total / 2) < 4 * (total / 4) ** 0.5, counts


@pytest.mark.parametrize("count", [19, 10_001])
def test_counts_out_of_range_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match=str(count)):
        write_synthetic(str(tmp_path), num_comparisons=count, seed=0)


def test_critiques_say_which_words_are_right_and_some_are_wrong(tmp_path: Path) -> None:
    plain, critical = str(tmp_path / "plain"), str(tmp_path / "critical")
    report = write_synthetic(critical, num_comparisons=200, seed=5, wrong_critiques=0.2)
    assert list(report.good) == ["captions", "ultrafeedback", "pairs"] and sum(report.good.values()) == 200
    kept, refused = accepted((Path(critical), report))
    assert dict(refused) == report.planted
    critiques = [(response.critique or "", response) for one in kept for response in one.responses]
    assert all(1 <= text.count("right") + text.count("wrong") <= 2 for text, _ in critiques)
    graded = [(text, response.score) for one in kept if one.source == "captions"
              for text, response in ((response.critique or "", response) for response in one.responses)]  # fmt: skip
    true = sum(text.count("right") == score for text, score in graded)
    assert 0.7 < true / len(graded) < 0.9, "a fifth of them is wrong about one word"
    write_synthetic(plain, num_comparisons=200, seed=5)
    assert "critique" not in (Path(plain) / "captions" / "captions.jsonl").read_text()


def test_reasonings_are_about_every_pair_and_some_are_wrong(tmp_path: Path) -> None:
    report = write_synthetic(str(tmp_path), num_comparisons=200, seed=5, wrong_reasonings=0.2)
    assert [source.name for source in report.sources] == ["captions", "pairs"]
    made, refused = accepted((tmp_path, report))
    assert dict(refused) == report.planted
    said = [(one.responses[r.first], one.responses[r.second], r.text) for one in made for r in one.reasonings]
    assert len(said) == sum(one.num_ordered_pairs for one in made) and len(said) > 300
    assert 0.4 < sum(first.rank < second.rank for first, second, _ in said) / len(said) < 0.6, "orders are drawn"
    agree = [
        (texts[0].count("wrong") < texts[1].count("wrong")) == (first.rank < second.rank)
        for first, second, text in said
        if len(texts := text.removeprefix("1: ").split(" 2: ")) == 2
    ]
    assert len(agree) == len(said) and 0.75 < sum(agree) / len(agree) < 0.99
