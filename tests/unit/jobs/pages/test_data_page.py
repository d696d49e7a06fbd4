"""The page about prepared data: its numbers add up, hostile records can't break it, and it stays small."""

import ast
import base64
import io
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from html_pages import PageReader
from hypothesis import given
from hypothesis import strategies as st
from prepared_toys import ToyData, ToyRefusal, ToyRow, mixed_toy, toy_comparison, write_toy

from data_pipeline import storage
from data_pipeline.dataset.manifest import BenchmarkCounts, Manifest
from data_pipeline.errors import CorruptData, MissingInput, RecipeError, UserError
from data_pipeline.filtering.apply import REASONS
from data_pipeline.inspection.histogram import MAX_BARS, distribution
from data_pipeline.inspection.places import read_place
from data_pipeline.inspection.quarantine import EXAMPLES_A_REASON, MEANINGS, read_quarantine
from data_pipeline.inspection.samples import choose
from data_pipeline.inspection.summary import DataSummary, summarise
from data_pipeline.inspection.verify import checks_of, verify_files
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from jobs.pages.data_page import complete_data_page, page_of, write_data_page

EVIL = '</pre></td><script>alert("1")</script><img src=x onerror=alert(2)>&\'"'
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sixty Comparisons of three sources."""
    return write_toy(tmp_path_factory.mktemp("toy") / "shards", mixed_toy())


def summary_of(folder: str) -> DataSummary:
    place = read_place(folder)
    return summarise(place.manifest, place.rows(), place.refused())


def page_at(url: str) -> PageReader:
    return PageReader(storage.read_bytes(url).decode())


def test_the_page_is_self_contained(folder: str) -> None:
    url = write_data_page(folder)
    assert url == storage.join(folder, "data.html")
    html = storage.read_bytes(url).decode()
    page = PageReader(html)
    assert page.fetching == [] and page.handlers == []
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?:|url\((?!#)|@import", html)
    assert "prefers-color-scheme: dark" in html
    assert len(page.pictures) > 8
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(page.pictures[0].partition(",")[2])))
    assert (picture.format, picture.size) == ("JPEG", (112, 84))
    write_data_page(folder)
    assert storage.read_bytes(url).decode() == html  # nothing in it depends on when it was written


def test_numbers_equal_a_count_row_by_row(folder: str) -> None:
    found = summary_of(folder)
    rows = read_place(folder).rows().to_pylist()
    kept = [row for row in rows if not row["mark"]]
    train = [row for row in kept if row["split"] == "train"]
    lines = [json.loads(line) for line in next(Path(folder).glob("quarantine*")).read_text().splitlines()]

    def tokens(row: dict) -> int:
        return row["prefix_length"] + sum(row["response_lengths"])

    def pairs(ranks: list[int]) -> int:
        return sum(a < b for a in ranks for b in ranks)

    assert (found.total.kept, found.total.refused, found.total.seen) == (len(kept), len(lines), len(kept) + len(lines))
    assert found.total.by_split == Counter(row["split"] for row in kept)
    assert found.total.shown == sum(row["repeats"] for row in train)
    assert found.budgets.tokens == sum(row["repeats"] * tokens(row) for row in train)
    apart = sum(row["repeats"] * sum(row["prefix_length"] + n for n in row["response_lengths"]) for row in train)
    assert found.budgets.tokens_apart == apart > found.budgets.tokens
    assert found.budgets.vision_tokens == sum(row["repeats"] * sum(row["image_patches"]) // 4 for row in train)
    assert found.budgets.images == sum(row["repeats"] * len(row["image_patches"]) for row in train)
    assert found.budgets.pairs == sum(row["repeats"] * pairs(row["ranks"]) for row in train)
    assert found.budgets.dropped_turns == sum(row["dropped_turns"] for row in kept) > 0
    for name, one in found.by_source.items():
        assert one.kept == sum(row["source"] == name for row in kept)
        assert one.refused_by_reason == Counter(line["reason"] for line in lines if line["source"] == name)
    by_name = {one.name: one for one in found.distributions}
    assert by_name["Responses"].count == sum(len(row["response_lengths"]) for row in kept)
    longest = [row["prefix_length"] + max(row["response_lengths"]) for row in kept]
    assert (by_name["Prompt and longest response"].most, by_name["Prompt and longest response"].limit) == (
        max(longest),
        8192,
    )
    ties = [len(row["ranks"]) * (len(row["ranks"]) - 1) // 2 - pairs(row["ranks"]) for row in kept]
    assert by_name["Ties"].mean == pytest.approx(sum(ties) / len(ties))
    assert all(check.holds for check in found.checks)


def test_the_page_shows_the_numbers(folder: str) -> None:
    found, text = summary_of(folder), page_at(write_data_page(folder)).text
    for shown in (found.total.kept, found.total.shown, found.budgets.tokens, found.budgets.tokens_apart):
        assert f"{shown:,}" in text
    assert text[text.index("Counts add up") + 1] == "yes"
    assert MEANINGS["near_duplicate"] in text
    assert any("211 bytes: OSError" in part for part in text)
    assert any("7 of 7" in part or f"{EXAMPLES_A_REASON} of 7" in part for part in text)
    assert any("oldest turns cut" in part for part in text)
    assert any(part.startswith("first 19 of") for part in text)


def test_counts_that_disagree_are_shown(tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "shards", mixed_toy(12))
    manifest = Manifest.read(folder)
    manifest.counts.by_source["chat"].kept += 1
    manifest.write(folder)
    failed = [check for check in summary_of(folder).checks if not check.holds]
    assert [(check.what, check.stated - check.found) for check in failed] == [("kept of chat", 1)]
    text = page_at(write_data_page(folder)).text
    assert text[text.index("Counts add up") + 1] == "no"
    assert any(part.startswith("kept of chat: stated") for part in text)


def test_benchmarks_are_shown_where_there_are_any(tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "shards", mixed_toy(6))
    assert "Decontamination" not in page_at(write_data_page(folder)).text
    manifest = Manifest.read(folder)
    manifest.counts.benchmarks["mmbench"] = BenchmarkCounts(items=4377, images=12, refused=3, overlaps=2)
    manifest.write(folder)
    text = page_at(write_data_page(folder)).text
    place = text.index("mmbench")
    assert [part for part in text[place:] if part.strip()][:5] == ["mmbench", "4,377", "12", "3", "2"]


def test_a_filtered_row_that_the_quarantine_lacks_is_found(folder: str) -> None:
    place = read_place(folder)
    refused = place.refused()
    refused.counts["chat", "near_duplicate"] -= 1
    failed = {check.what for check in summarise(place.manifest, place.rows(), refused).checks if not check.holds}
    assert "filtered as near_duplicate, in the quarantine" in failed
    assert "refused of chat" in failed


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    answers = (f"{EVIL} yes", f"no\u2028 {EVIL}")
    evil = replace(toy_comparison(0, source=EVIL, prompt=EVIL, answers=answers, images=1), id=EVIL)
    system = replace(evil, prompt=(Turn("system", (EVIL,)), *evil.prompt))
    toy = ToyData(
        rows=[ToyRow(comparison=system), ToyRow(comparison=replace(evil, id="m"), reason=EVIL)],
        refusals=[ToyRefusal(source=EVIL, reason="broken_image", id=EVIL, detail=EVIL)],
    )
    folder = write_toy(tmp_path / "shards", toy)
    manifest = replace(Manifest.read(folder), code=EVIL, tokenizer=EVIL, config={EVIL: EVIL})
    manifest.write(folder)
    page = page_at(write_data_page(folder))
    assert "script" not in page.tags and page.handlers == [] and page.fetching == []
    assert len(page.pictures) == 1
    assert "".join(page.text).count(EVIL) >= 12


def noise(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (196, 196, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def test_the_page_stays_small(tmp_path: Path) -> None:
    long = "A very long answer. " * 2000
    rows = [
        ToyRow(
            comparison=Comparison(
                id=f"c{i}",
                source="noisy",
                prompt=(Turn("user", (ImageSlot(0), ImageSlot(1), "What?")),),
                responses=(Response((f"{long}{i}",), 0), Response((f"{i} {long[:9000]}",), 1)),
                media=(MediaRef(data=noise(2 * i)), MediaRef(data=noise(2 * i + 1))),
            )
        )
        for i in range(120)
    ]
    url = write_data_page(write_toy(tmp_path / "shards", ToyData(rows=rows)), samples=120)
    assert storage.size_of(url) < 5_000_000
    page = page_at(url)
    left_out = sum(part.startswith("image, left out") for part in page.text)
    assert 0 < left_out < 240 and len(page.pictures) + left_out == 240
    assert any(part.endswith("more characters)") for part in page.text)


def test_samples_are_spread_over_sources_and_follow_the_seed() -> None:
    rows = pa.table({"source": ["big"] * 500 + ["small"] * 2 + ["middle"] * 40})
    chosen = choose(rows, 20, seed=1)
    assert chosen == sorted(set(chosen)) == choose(rows, 20, seed=1) != choose(rows, 20, seed=2)
    assert Counter(rows["source"][i].as_py() for i in chosen) == {"big": 9, "small": 2, "middle": 9}
    assert choose(rows, 0, seed=1) == []
    assert choose(rows, 1000, seed=1) == list(range(542))


def test_an_empty_split_and_no_rows_at_all(tmp_path: Path) -> None:
    nothing = ToyData(rows=[], refusals=[ToyRefusal(source="mine", reason="broken_image")])
    text = page_at(write_data_page(write_toy(tmp_path / "none", nothing))).text
    assert "Comparisons to look at" not in text and "no Comparisons" in text
    held = ToyData(rows=[ToyRow(comparison=toy_comparison(1), split="heldout")])
    text = page_at(write_data_page(write_toy(tmp_path / "held", held))).text
    assert text[text.index("An epoch shows") + 1] == "0"


def test_another_manifest_of_the_folder(tmp_path: Path) -> None:
    toy = mixed_toy(12)
    folder = write_toy(tmp_path / "shards", toy)
    old = Manifest.read(folder)
    write_data_page(folder)
    first = page_of(folder)
    assert first == storage.read_bytes(f"{folder}/data.html").decode()
    write_toy(tmp_path / "shards", replace(toy, refusals=[]))
    assert page_of(folder) != first  # the page that lies there is of the other manifest
    place = read_place(f"{folder}/manifests/{old.address}.json")
    assert (place.folder, place.manifest) == (folder, old)
    assert page_of(f"{folder}/manifests/{old.address}.json") == first
    assert read_place(f"{folder}/manifest.json").manifest.address != old.address


def test_places_that_are_none(folder: str, tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no prepared data in .*nowhere"):
        read_place(str(tmp_path / "nowhere"))
    (tmp_path / "begun" / "units").mkdir(parents=True)
    (tmp_path / "begun" / "units" / "1.json").write_text("{}")
    with pytest.raises(MissingInput, match="has not finished there"):
        read_place(str(tmp_path / "begun"))
    with pytest.raises(MissingInput, match=r"no manifest .*x\.json'; the folder has [0-9a-f]+\.json"):
        read_place(f"{folder}/manifests/x.json")
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(UserError, match="version 99.*newer basereward"):
        read_place(str(tmp_path))
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(CorruptData, match="holds no JSON object: preprocess again"):
        read_place(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(CorruptData, match="is no manifest"):
        read_place(str(tmp_path))
    with pytest.raises(RecipeError, match="samples=201 must be from 0 to 200"):
        write_data_page(folder, samples=201)


def test_verify_names_every_bad_file(tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "shards", mixed_toy(12))
    manifest = Manifest.read(folder)
    assert [one.problem for one in verify_files(checks_of(folder, manifest))] == [None] * 7
    [gone, flipped, cut] = sorted((tmp_path / "shards" / "shards").glob("*"))[:3]
    gone.unlink()
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(bytes(data))
    cut.write_bytes(cut.read_bytes()[:-8])
    bad = {Path(one.url).name: one.problem for one in verify_files(checks_of(folder, manifest)) if one.problem}
    assert set(bad) == {gone.name, flipped.name, cut.name}
    assert bad[gone.name] == "is not there"
    assert "it was written with" in str(bad[flipped.name])


def test_a_quarantine_line_that_is_none() -> None:
    with pytest.raises(CorruptData, match="line 1 is no refused item"):
        read_quarantine(['{"reason": "x"}'])
    line = {"path": "p", "row": 0, "item": 0, "id": "", "reason": "r", "detail": ""}
    refused = read_quarantine(json.dumps({"source": "a" if i < 9 else "b", **line, "row": i}) for i in range(10))
    assert refused.counts == {("a", "r"): 9, ("b", "r"): 1}
    assert [one.source for one in refused.examples["r"]] == ["a"] * (EXAMPLES_A_REASON - 1) + ["b"]


def test_every_reason_has_a_meaning() -> None:
    found = set(REASONS)
    for file in (ROOT / "data_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "RecordError" and node.args:
                named = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                found |= {part.value for part in named}
    assert len(found) > 25
    assert found - MEANINGS.keys() == set()


@given(st.lists(st.integers(0, 40_000), max_size=200))
def test_a_histogram_counts_every_value_once(values: list[int]) -> None:
    found = distribution(np.array(values, dtype=np.int64), name="x", unit="tokens", of="rows").histogram
    assert sum(found.counts) + found.above == len(values)
    assert len(found.counts) <= MAX_BARS + 1 and len(found.edges) == len(found.counts) + 1
    for low, high, count in zip(found.edges[:-1], found.edges[1:], found.counts, strict=True):
        assert sum(low <= value < high for value in values) == count


def test_one_long_value_does_not_flatten_the_others() -> None:
    found = distribution(np.array([*range(100, 200)] * 20 + [9000]), name="x", unit="tokens", of="rows")
    assert (found.most, found.histogram.above) == (9000, 1)
    assert found.histogram.edges[-1] <= 205


def test_a_remote_folder(folder: str, request: pytest.FixtureRequest) -> None:
    remote = f"memory://{request.node.name}"
    for file in Path(folder).rglob("*.*"):
        if file.is_file():
            storage.write_atomic(f"{remote}/{file.relative_to(folder)}", file.read_bytes())
    assert write_data_page(remote) == f"{remote}/data.html"
    assert page_of(remote) == page_of(folder).replace(f"{Path(folder).parent.name}/shards", remote.partition("//")[2])
    assert {one.problem for one in verify_files(checks_of(remote, Manifest.read(remote)))} == {None}
    with pytest.raises(MissingInput, match="no prepared data in"):
        read_place(f"{remote}/nothing")


def test_a_page_that_a_kill_prevented_is_made_up_for_once(tmp_path: Path) -> None:
    """Missing, cut short by another tool, or of another manifest; a page that fits is not written again."""
    folder = write_toy(tmp_path / "shards", mixed_toy(12))
    page = Path(folder, "data.html")
    for before in (None, "", "<html>manifest 0123</html>"):
        page.unlink(missing_ok=True)
        if before is not None:
            page.write_text(before)
        assert complete_data_page(folder) == str(page)
        assert page.read_text() == page_of(folder)
        assert complete_data_page(folder) is None
