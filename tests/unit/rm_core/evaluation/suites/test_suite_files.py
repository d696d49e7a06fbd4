"""A suite's rows are the published ones, or are refused with what differs; given rewards have one line a row."""

import json
from pathlib import Path
from typing import Any

import pytest
from suite_toys import TOYS, mm_rlhf, rm_bench, write_suite

from data_pipeline.errors import MissingInput, UserError
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.suites.files import SuiteData, comparisons_in, open_suite
from rm_core.evaluation.suites.given import read_given
from rm_core.evaluation.suites.registry import SUITES
from rm_core.evaluation.suites.report import measure, scored_of
from rm_core.evaluation.suites.vl_rewardbench import official_group


def opened(root: Path, name: str, records: list[dict[str, Any]] | None = None) -> SuiteData:
    return open_suite(SUITES[name], str(write_suite(root, name, records)))


def test_another_file_is_refused_with_what_differs(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        opened(tmp_path, "mm_rlhf_rewardbench", mm_rlhf()[1:])
    assert "41 rows of mcq, not 42" in str(caught.value)
    assert "evaluate.suite_folders.mm_rlhf_rewardbench" in str(caught.value)


def test_a_folder_without_the_suite_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"mm_reward_bench\.jsonl"):
        open_suite(SUITES["mm_rlhf_rewardbench"], str(tmp_path))


def test_a_row_of_another_shape_is_named(tmp_path: Path) -> None:
    records = mm_rlhf()
    del records[7]["chosen"]
    with pytest.raises(UserError, match="row 7 of mm_rlhf_rewardbench .*missing_field"):
        opened(tmp_path, "mm_rlhf_rewardbench", records)


def test_a_suite_in_several_files_has_one_count_of_rows(tmp_path: Path) -> None:
    folder = tmp_path / "rm_bench"
    folder.mkdir()
    rows = rm_bench(math=False)
    for domain in ("chat", "code", "safety-refuse", "safety-response"):
        own = [{key: value for key, value in row.items() if key != "domain"} for row in rows if row["domain"] == domain]
        (folder / f"{domain}_filtered.json").write_text(json.dumps(own))
    data = open_suite(SUITES["rm_bench"], str(folder))
    assert [item.category for item in data.items] == [row["domain"] for row in rows]
    assert [item.index for item in data.items] == list(range(798))
    middle = list(comparisons_in(data, 128, 3))
    assert [one.prompt[0].parts[0] for one in middle] == [row["prompt"] for row in rows[128:131]]


def test_ids_of_vl_rewardbench_have_their_authors_groups() -> None:
    ids = ("RLHF-V-1", "RLAIF-V-2", "hallucination_pair-3", "mmmu_pro_vision_4", "mathverse_5", "wildvision-battle-6")
    assert [official_group(one) for one in ids] == ["hallucination"] * 3 + ["reasoning"] * 2 + ["general"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SuiteData:
    return opened(tmp_path_factory.mktemp("small"), "mm_rlhf_rewardbench")


def lines_of(data: SuiteData) -> list[dict[str, Any]]:
    return [{"suite": data.suite.name, "index": item.index, "rewards": [1.0, item.index % 2]} for item in data.items]


def written(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_given_rewards_are_known_by_their_row_in_any_order(small: SuiteData, tmp_path: Path) -> None:
    lines = [*lines_of(small)[::-1], {"suite": "rewardbench", "index": 9, "rewards": "whatever"}]
    given = read_given(written(tmp_path / "given.jsonl", lines), [small])["mm_rlhf_rewardbench"]
    assert [one.rewards for one in given] == [(1.0, float(place % 2)) for place in range(170)]
    report = measure(small, given, Resampling(samples=10))
    assert (report.numbers["acc"].right, report.tied_pairs) == (85, 85)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "no line for 1 of 170 rows of mm_rlhf_rewardbench, first for row 169"),
        (lambda lines: [*lines, lines[3]], "gives row 3 of mm_rlhf_rewardbench again"),
        (lambda lines: [{**lines[0], "index": 170}, *lines[1:]], "index 170: rows of mm_rlhf_rewardbench are 0 to 169"),
        (lambda lines: [{**lines[0], "rewards": [1.0]}, *lines[1:]], "needs 2 finite numbers"),
        (lambda lines: [{**lines[0], "rewards": [1.0, True]}, *lines[1:]], "needs 2 finite numbers"),
        (lambda lines: [{**lines[0], "rewards": [1.0, 10**400]}, *lines[1:]], "needs 2 finite numbers"),
        (lambda lines: [{**lines[0], "rewards": [1.0, float("nan")]}, *lines[1:]], "needs 2 finite|holds no rewards"),
        (lambda lines: [{**lines[0], "suite": None}, *lines[1:]], "line 1 of .* has the suite None"),
        (lambda lines: [{**lines[0], "pictures": ["ab"]}, *lines[1:]], "leave them out"),
    ],
)
def test_lines_that_nobody_can_mean_are_refused(change: Any, said: str, small: SuiteData, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        read_given(written(tmp_path / "given.jsonl", change(lines_of(small))), [small])


def test_no_rewards_are_an_answer_that_could_not_be_had(small: SuiteData, tmp_path: Path) -> None:
    lines = lines_of(small)
    lines[4] = {"suite": "mm_rlhf_rewardbench", "index": 4, "rewards": None, "error": "no_verdict: ..."}
    given = read_given(written(tmp_path / "given.jsonl", lines), [small])["mm_rlhf_rewardbench"]
    assert measure(small, given, Resampling(samples=10)).not_scored == {"no_verdict": 1}


def test_rows_that_share_a_picture_are_one_group(small: SuiteData, tmp_path: Path) -> None:
    lines = lines_of(small)
    given = read_given(written(tmp_path / "given.jsonl", lines), [small])["mm_rlhf_rewardbench"]
    assert len({one.group for one in scored_of(small, given)}) == 46
    same = [{**line, "pictures": ["ab"], "hashes": [5]} if line["index"] in (0, 60) else line for line in lines]
    given = read_given(written(tmp_path / "same.jsonl", same), [small])["mm_rlhf_rewardbench"]
    assert len({one.group for one in scored_of(small, given)}) == 45


def test_every_suite_has_a_toy() -> None:
    assert set(TOYS) == set(SUITES)
    for suite in SUITES.values():
        assert {len(names) for names in suite.layout.rows.values()} == {len(suite.layout.columns)}
