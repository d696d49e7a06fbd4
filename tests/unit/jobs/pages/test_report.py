"""The report page: it needs nothing else, says what the report says, and escapes what others wrote."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from html_pages import PageReader

from data_pipeline.errors import MissingInput
from data_pipeline.storage import read_bytes
from jobs.evaluate.publish import results_table, show
from jobs.pages.evaluation_report import render_html, write_report
from jobs.pages.formats import number, percent
from jobs.recipe.schema import Recipe
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.results import EvaluationReport
from rm_core.scoring.scored import ScoredComparison


def example(source: str = "scenes", images: bool = True, per_group: int = 1) -> EvaluationReport:
    """Forty comparisons, K = 2 and 3, some wrong, some tied; so many a picture."""
    return evaluate(
        [
            ScoredComparison(
                id=str(index),
                source=source if index % 2 else "other",
                rewards=tuple(float((index * 7 + 3 * k) % 5 - 2 * k) for k in range(2 + index % 2)),
                ranks=tuple(range(2 + index % 2)),
                response_lengths=tuple(5 + (index + k) % 9 for k in range(2 + index % 2)),
                num_images=int(images),
                blank_rewards=tuple(float((index + k) % 2) for k in range(2 + index % 2)) if images else None,
                group=f"image:{index // per_group}",
            )
            for index in range(40)
        ]
    )


def test_the_page_is_self_contained() -> None:
    html = render_html(example(), title="Demo", facts={"model": "runs/demo"})
    page = PageReader(html)
    assert page.fetching == []
    assert "script" not in page.tags and "link" not in page.tags and "img" not in page.tags
    assert not re.search(r"https?:|url\((?!#)|@import", html)
    assert page.tags.count("svg") == 7
    assert "prefers-color-scheme: dark" in html


def test_the_page_shows_the_numbers_of_the_report() -> None:
    report = example()
    text = PageReader(render_html(report, title="Demo", facts={})).text
    assert report.blank_images is not None
    accuracy = report.overall.accuracy
    for shown in (
        percent(accuracy.value),
        f"{percent(accuracy.interval.low)} to {percent(accuracy.interval.high)}",
        percent(report.blank_images.real.value),
        percent(report.blank_images.blank.value),
        percent(report.overall.length_only.value),
        percent(report.by_source["scenes"].accuracy.value),
        number(report.by_source["other"].mean_margin),
        f"{accuracy.num_pairs:,}",
        str(report.num_comparisons),
    ):
        assert shown in text
    assert text[text.index("Held-out accuracy") + 1] == percent(accuracy.value)
    assert text[text.index("Blank images") + 1] == percent(report.blank_images.blank.value)


def test_the_curve_of_best_of_n_is_drawn_where_there_are_more_than_two_responses() -> None:
    report = example()
    page = render_html(report, title="t", facts={})
    best = report.best_of_n["3"][-1]
    assert f"best of 3 among 3: {percent(best.model.value)}" in page and f"at most {percent(best.label)}" in page
    assert "best of" not in render_html(replace(report, best_of_n={}), title="t", facts={})


def test_titles_sources_and_facts_are_escaped() -> None:
    evil = '<script>alert("1")</script>&'
    page = PageReader(render_html(example(source=evil), title=evil, facts={evil: evil}))
    assert "script" not in page.tags
    assert "".join(page.text).count(evil) >= 5  # title, heading, fact and its name, table


def test_a_text_only_report_has_no_blank_images() -> None:
    page = PageReader(render_html(example(images=False), title="Text", facts={}))
    assert "Blank images" not in page.text
    assert page.tags.count("svg") == 6
    assert "What was evaluated" not in page.text  # no facts, no empty table


def test_one_pair_with_equal_rewards_still_draws() -> None:
    one = ScoredComparison(id="1", source="s", rewards=(0.0, 0.0), ranks=(0, 1), response_lengths=(3, 3), num_images=0,
                           group="1")  # fmt: skip
    html = render_html(evaluate([one]), title="One", facts={})
    assert "nan" not in html and "inf" not in html.replace("info", "")
    assert "1 at exactly 0" in html


def test_both_files_are_written_with_the_same_numbers(tmp_path: Path) -> None:
    report = example()
    folder = str(tmp_path / "eval")
    with pytest.raises(MissingInput):
        read_bytes(f"{folder}/report.json")
    write_report(folder, report, title="Démo", facts={"model": "runs/demo"})
    document = json.loads(read_bytes(f"{folder}/report.json"))
    assert document["title"] == "Démo"
    assert document["facts"] == {"model": "runs/demo"}
    assert document["overall"] == json.loads(json.dumps(report.to_json()["overall"]))
    page = read_bytes(f"{folder}/report.html").decode()
    assert page == render_html(report, title="Démo", facts={"model": "runs/demo"})
    assert sorted(path.name for path in (tmp_path / "eval").iterdir()) == ["report.html", "report.json"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.12345, "0.123"), (1200.0, "1,200"), (-2.5, "-2.5"), (123.4, "123"), (0.0, "0")]
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_longer_answer_and_the_groups_stand_in_every_shape_of_the_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Page, JSON, MLflow's numbers, the run's page and the terminal; 40 comparisons about 8 pictures."""
    report = example(per_group=5)
    over, rule = report.overall.over_length, report.overall.length_only.value
    assert over.value == pytest.approx(report.overall.accuracy.value - rule)
    text = "".join(PageReader(render_html(report, title="t", facts={})).text)
    assert "40 comparisons in 8 groups" in text and f"Points over that{100 * over.value:+.1f}" in text
    written = report.to_json()
    assert (written["num_groups"], written["overall"]["accuracy"]["num_groups"]) == (8, 8)
    assert written["overall"]["over_length"]["value"] == over.value
    numbers = report.numbers()
    assert [numbers[name] for name in ("over_length", "over_length_low", "over_length_high", "num_groups")] == [
        over.value, over.interval.low, over.interval.high, 8.0,
    ]  # fmt: skip
    first = results_table(report).splitlines()[2]
    assert first.startswith("| all | 40 | 8 | ") and f"| {rule:.3f} | {over.value:+.3f} |" in first
    show(Recipe(), report)
    told = capsys.readouterr().out
    assert "40 in 8 groups" in told and f"{over.value:+.3f}  ({over.interval.low:+.3f} to" in told
