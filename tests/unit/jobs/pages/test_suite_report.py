"""Suites on a page and in Markdown: the layout of the papers, the published rows, and what was measured on what."""

import random
from pathlib import Path

import pytest
from html_pages import PageReader
from suite_toys import write_suite

from jobs.pages.paper_table import load_table
from jobs.pages.suite_report import PUBLISHED, SuiteView, render_suites, suite_view, suites_markdown
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.suites.files import SuiteData, open_suite
from rm_core.evaluation.suites.given import GivenRewards
from rm_core.evaluation.suites.registry import SUITES
from rm_core.evaluation.suites.report import measure


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SuiteData:
    return open_suite(
        SUITES["mm_rlhf_rewardbench"], str(write_suite(tmp_path_factory.mktemp("suites"), "mm_rlhf_rewardbench"))
    )


def view_of(data: SuiteData, *, missing: int = 0, failed: int = 0, model: str = "mine") -> SuiteView:
    chance = random.Random(3)
    given = [GivenRewards((chance.random(), chance.random()), missing_pictures=missing) for _ in data.items]
    given[:failed] = [GivenRewards(None, "too_long: 9,000 tokens")] * failed
    return suite_view(measure(data, given, Resampling(samples=20)), model)


@pytest.mark.parametrize("suite", PUBLISHED)
def test_published_rows_have_the_columns_of_the_suite(suite: str) -> None:
    table = load_table(PUBLISHED[suite])
    assert tuple(column.name for column in table.columns) == SUITES[suite].layout.columns
    assert table.title == SUITES[suite].title


def test_ours_stand_above_the_published_rows(data: SuiteData) -> None:
    lines = suites_markdown([view_of(data)], "Benchmarks").splitlines()
    head = lines.index("|  | Mcq | Long | Short | Safety | Video | Acc | Acc+ |")
    ours, first, last = lines[head + 2], lines[head + 3], lines[head + 14]
    assert ours.startswith("| **mine** | **") and ours.count("**") == 16
    assert first == "| Gemini-2.0-Flash-Exp | 33.33 | 45.94 | 67.64 | 43.75 | 32.00 | 44.71 | 13.04 |"
    assert last.startswith("| BaseReward, ensemble | 88.10 | 100.00 |")
    slip = next(line for line in lines if line.startswith("| BaseReward, Qwen2.5-VL"))
    assert "95.74 (" in slip and any(line.startswith("(1) ") for line in lines)
    assert "| mcq | " in "\n".join(lines)  # and all numbers below


def test_what_was_not_measured_as_meant_is_said_first(data: SuiteData) -> None:
    assert view_of(data).warnings == []
    warnings = view_of(data, missing=1, failed=3).warnings
    assert warnings == [
        "167 of 170 rows were scored without their pictures: no number of a model that sees.",
        "3 of 170 rows have no rewards and count as wrong: 3 too_long.",
    ]
    text = suites_markdown([view_of(data, missing=1)], "Benchmarks")
    assert text.index("170 of 170 rows were scored without") < text.index("| Mcq |")


def test_the_page_is_whole_and_escapes_names(data: SuiteData) -> None:
    html = render_suites([view_of(data, missing=1, model="<b>mine</b>")], title="Benchmarks", facts={"model": "m"})
    page = PageReader(html)
    assert not page.fetching and not page.handlers
    assert "<b>mine</b>" in page.text and "b" not in page.tags
    assert "not measured" not in html and "R1-Reward" in page.text


def test_a_suite_without_a_table_of_the_paper_stands_alone(tmp_path: Path) -> None:
    data = open_suite(SUITES["rm_bench"], str(write_suite(tmp_path, "rm_bench")))
    report = measure(data, [GivenRewards((5.0, 4.0, 3.0, 2.0, 1.0, 0.0)) for _ in data.items], Resampling(samples=10))
    view = suite_view(report, "mine")
    assert (view.published, view.source) == ([], "")
    assert view.ours[0].cells == ["100.00"] * 8
