"""What changed between two preparations: every kind of change is found, counted and named, and nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_toys import ToyData, ToyRefusal, ToyRow, mixed_toy, toy_comparison, write_toy

from data_pipeline.config import PreprocessConfig, RulesConfig, SourceConfig
from data_pipeline.inspection.diff import MAX_EXAMPLES, DataDiff, Group, compare
from data_pipeline.inspection.places import read_place
from jobs.cli import main as cli


def rows(count: int, **changes: object) -> list[ToyRow]:
    return [ToyRow(comparison=toy_comparison(i), **changes) for i in range(count)]  # type: ignore[arg-type]


def diff_of(tmp_path: Path, before: ToyData, after: ToyData) -> DataDiff:
    first, second = (
        read_place(write_toy(tmp_path / name, toy)) for name, toy in (("before", before), ("after", after))
    )
    return compare(first.manifest, first.rows(), second.manifest, second.rows())


def groups_of(found: DataDiff) -> dict[str, tuple[str, str, int]]:
    assert len({group.kind for group in found.comparisons}) == len(found.comparisons)
    return {group.kind: (group.before, group.after, group.count) for group in found.comparisons}


def test_the_same_data_is_equal(tmp_path: Path) -> None:
    found = diff_of(tmp_path, mixed_toy(30), mixed_toy(30))
    assert found.is_empty and found.to_json()["equal"]


def test_every_kind_of_change_of_a_comparison(tmp_path: Path) -> None:
    before = rows(30)
    after = [
        *before[2:5],  # 0 and 1 are gone
        replace(before[5], split="heldout"),
        replace(before[6], reason="near_duplicate", repeats=0),
        replace(before[7], reason="near_duplicate", repeats=0),
        replace(before[8], repeats=3),
        replace(before[9], cut_to=6),
        replace(before[10], comparison=replace(before[10].comparison, source="other")),
        *before[11:],
        ToyRow(comparison=toy_comparison(99), split="heldout"),
    ]
    found = diff_of(tmp_path, ToyData(rows=before), ToyData(rows=after))
    assert groups_of(found) == {
        "added": ("absent", "heldout", 1),
        "removed": ("train", "absent", 2),
        "refiltered": ("train", "near_duplicate", 2),
        "moved": ("train", "heldout", 1),
        "repeated": ("1", "3", 1),
        "cut": ("longer", "shorter", 1),
        "source": ("scenes", "other", 1),
    }
    examples = {group.kind: group.examples for group in found.comparisons}
    assert examples["removed"] == ("scenes/scenes-0", "scenes/scenes-1")
    assert examples["added"] == ("scenes/scenes-99",)
    assert examples["refiltered"] == ("scenes/scenes-6", "scenes/scenes-7")
    counts = {count.name: (count.before, count.after) for count in found.counts}
    assert counts["kept"] == (30, 27)
    assert counts["refused as near_duplicate"] == (0, 2)
    assert counts["kept for heldout"] == (0, 2)
    assert counts["other: kept"] == (0, 1)


def test_another_order_is_no_change_of_a_comparison(tmp_path: Path) -> None:
    found = diff_of(tmp_path, ToyData(rows=rows(20)), ToyData(rows=rows(20)[::-1]))
    assert found.comparisons == () and found.counts == () and found.settings == ()
    assert [change.name for change in found.files] == ["shards", "shards of both"]


def test_a_duplicate_counts_by_the_row_that_is_kept(tmp_path: Path) -> None:
    before = rows(3)
    again = replace(before[1], reason="duplicate", repeats=0)
    found = diff_of(tmp_path, ToyData(rows=before), ToyData(rows=[again, *before]))
    assert found.comparisons == ()
    assert {count.name for count in found.counts} >= {"seen", "refused as duplicate"}


def test_settings_inputs_and_files(tmp_path: Path) -> None:
    sources = [SourceConfig(name="scenes", path="a.jsonl"), SourceConfig(name="chat", path="b.jsonl")]
    before = ToyData(rows=rows(4), config=PreprocessConfig(sources=sources))
    config = PreprocessConfig(
        sources=[replace(sources[1], limit=5), sources[0]], rules=RulesConfig(max_tokens=512, languages=["en"])
    )
    after = ToyData(
        rows=rows(4), config=config, file_sha256="b" * 64, refusals=[ToyRefusal(source="chat", reason="no_comparison")]
    )
    found = diff_of(tmp_path, before, after)
    assert {change.name: (change.before, change.after) for change in found.settings} == {
        "sources.order": (["scenes", "chat"], ["chat", "scenes"]),
        "sources.chat.limit": (None, 5),
        "rules.max_tokens": (8192, 512),
        "rules.languages": ([], ["en"]),
    }
    inputs = {change.name: (change.before, change.after) for change in found.inputs}
    assert inputs["chat: chat.jsonl"] == (None, f"90 rows, 1,234,567 bytes, sha256 {'b' * 12}")
    assert "sha256 aaaaaaaaaaaa" in inputs["scenes: scenes.jsonl"][0]
    assert "quarantine" in {change.name for change in found.files}


def test_examples_are_bounded(tmp_path: Path) -> None:
    found = diff_of(tmp_path, ToyData(rows=rows(1)), ToyData(rows=rows(40)))
    [group] = found.comparisons
    assert (group.count, len(group.examples)) == (39, MAX_EXAMPLES)


STATES = st.sampled_from(["", "near_duplicate", "too_long"])


@settings(max_examples=12)
@given(
    st.lists(st.tuples(STATES, st.sampled_from(["train", "heldout"])), min_size=1, max_size=8),
    st.lists(st.tuples(STATES, st.sampled_from(["train", "heldout"])), min_size=1, max_size=8),
)
def test_groups_explain_the_change_of_kept(
    tmp_path_factory: pytest.TempPathFactory, old: list[tuple[str, str]], new: list[tuple[str, str]]
) -> None:
    """Kept after = kept before + what came in - what went out, whatever happened in between."""
    data = [
        ToyData(
            rows=[
                ToyRow(comparison=toy_comparison(place), reason=reason, split=split, repeats=int(not reason))
                for place, (reason, split) in enumerate(states)
            ]
        )
        for states in (old, new)
    ]
    found = diff_of(tmp_path_factory.mktemp("pair"), *data)

    def kept(state: str) -> bool:
        return state in ("train", "heldout")

    def balance(group: Group) -> int:
        return group.count * (kept(group.after) - kept(group.before))

    decided = [group for group in found.comparisons if group.kind in ("added", "removed", "refiltered", "moved")]
    counts = [sum(not reason for reason, _ in states) for states in (old, new)]
    assert counts[0] + sum(map(balance, decided)) == counts[1]
    assert found.is_empty == (old == new)


def test_exit_codes_are_those_of_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = replace(toy_comparison(7), id="[red]x[/red]\x1b[2J")
    one = write_toy(tmp_path / "one", ToyData(rows=rows(3)))
    two = write_toy(tmp_path / "two", ToyData(rows=[*rows(3), ToyRow(comparison=evil)]))
    assert cli.main(["data", "diff", one, one]) == 0
    assert capsys.readouterr().out.startswith("the same: 3 Comparisons")
    assert cli.main(["data", "diff", one, two]) == 1
    out = capsys.readouterr().out
    assert "only in B" in out and "[red]" in out and "\x1b" not in out
    assert cli.main(["data", "diff", one, two, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["equal"], document["comparisons"][0]["count"]) == (False, 1)
    assert cli.main(["data", "diff", one, str(tmp_path / "none")]) == 2
    next((tmp_path / "two").glob("rows.*")).write_bytes(b"broken")
    capsys.readouterr()
    assert cli.main(["data", "diff", one, two]) == 2  # 1 would say that they differ
    assert "sha256" in capsys.readouterr().err
