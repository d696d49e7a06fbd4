"""A page opens with the shortcuts that explain its score, and shows the worst failures without believing them."""

from dataclasses import replace

import numpy as np
import pytest
from html_pages import PageReader
from prepared_toys import ToyData, ToyRow, toy_comparison, write_toy

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.inspection.samples import Sample, read_samples
from jobs.pages.diagnostics_views import diagnostics_view, warnings_of
from jobs.pages.evaluation_report import render_html
from jobs.pages.failure_views import NUM_FAILURES, failure_views
from rm_core.evaluation.diagnostics.diagnose import Diagnostics, diagnose
from rm_core.evaluation.diagnostics.probes import Probed
from rm_core.evaluation.failures import Failure, worst_failures
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.metrics import evaluate
from rm_core.scoring.scored import ScoredComparison

EVIL = '</div></section><script>alert("1")</script><img src=x onerror=alert(2)>&\'"'
RESAMPLING = Resampling(samples=50)


def scored_by(of_length: bool, count: int = 120) -> list[ScoredComparison]:
    """Pairs of which the longer one is better in two thirds, scored by length, or as the labels say."""
    random = np.random.default_rng(1)
    found = []
    for place in range(count):
        lengths = (9, 4) if place % 3 else (4, 9)
        rewards = lengths if of_length else tuple(np.array([2.0, 0.0]) + random.normal(0, 0.8, 2))
        found.append(ScoredComparison(str(place), "s", rewards, (0, 1), lengths, 1, group=str(place)))
    return found


def page_of(scored: list[ScoredComparison], diagnostics: Diagnostics) -> PageReader:
    return PageReader(render_html(evaluate(scored), title="Demo", facts={}, diagnostics=diagnostics))


def test_a_page_opens_with_the_shortcut_or_without_a_word() -> None:
    scored = scored_by(of_length=True)
    page = page_of(scored, diagnose(scored, {}, RESAMPLING)).text
    said = next(text for text in page if text.startswith("Length explains this score"))
    assert "still takes the longer one and is right in 0.0 % (0.0 % to " in said
    assert page.index(said) < page.index("Held-out accuracy")
    clean = scored_by(of_length=False)
    page = page_of(clean, diagnose(clean, {}, RESAMPLING)).text
    assert not any("this score" in text for text in page if text not in ("What the score may rest on",))
    assert "What the score may rest on" in page


def test_each_shortcut_has_its_sentence() -> None:
    scored = scored_by(of_length=False)
    blind = [Probed(one.rewards) for one in scored]
    polite = [Probed(tuple(reward + 9.0 for reward in one.rewards), changed=(True, True)) for one in scored]
    turned = [Probed(one.rewards[::-1]) for one in scored]  # whoever is first wins
    found = diagnose(
        scored, {"shuffled_images": blind, "polite_sentence": polite, "reversed_answers": turned}, RESAMPLING
    )
    assert found.shortcuts == ("first", "shuffled_images", "polite_sentence")
    place, form, pictures = warnings_of(found)
    assert place.startswith("Place explains this score: where the last answer is the better one")
    assert pictures.startswith("Pictures play little part in this score: with pictures of another item it is ")
    assert form.startswith("Form explains this score, answers with a polite sentence: where only the worse answer of a")
    view = diagnostics_view(found)
    assert "Every pair was read in both orders." in view.order and view.left_out == ""
    left_out = {"shuffled_images": [Probed(None, "no_picture: text only"), *blind[1:]]}
    assert diagnostics_view(diagnose(scored, left_out, RESAMPLING)).left_out == (
        "1 without a picture (pictures of another item)"
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Comparisons of somebody who means no good, of whom each has pictures and long answers."""
    rows = [
        ToyRow(comparison=replace(
            toy_comparison(n, images=1, prompt=EVIL, answers=[f"{EVIL} {n} {'long ' * 900}", f"{n} {EVIL}"]),
            id=f"{EVIL}{n}",
        ))
        for n in range(20)
    ]  # fmt: skip
    return PreparedData.open(write_toy(tmp_path_factory.mktemp("toy") / "shards", ToyData(rows=rows)))


def test_the_worst_failures_are_shown_and_not_believed(data: PreparedData) -> None:
    scored = [ScoredComparison(str(n), "s", (float(n), 8.0), (0, 1), (1, 1), 1, group=f"{n // 2}") for n in range(20)]
    failures = worst_failures(scored, NUM_FAILURES)
    assert [(one.place, one.margin) for one in failures] == [(0, -8), (2, -6), (4, -4), (6, -2), (8, 0)]
    samples = read_samples(data, [one.place for one in failures])
    html = render_html(evaluate(scored), title="t", facts={}, failures=failure_views(failures, samples))
    page = PageReader(html)
    assert page.tags.count("script") == 0 and page.handlers == [] and page.fetching == []
    assert page.tags.count("img") == 5
    text = "".join(page.text)
    assert text.count(f"{EVIL}8") == 1 and "margin -8.00" in text and "reward +0.00" in text
    assert "more characters)" in text


def test_failures_are_bounded_in_number_and_in_bytes(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    samples: list[Sample] = read_samples(data, range(20))
    failures = [Failure(place=n, margin=-1.0, rewards=(0.0, 1.0)) for n in range(20)]
    assert len(failure_views(failures, samples)) == NUM_FAILURES
    assert 0 < len(failure_views(failures, samples, 20_000)) < NUM_FAILURES
    monkeypatch.setattr("jobs.pages.failure_views._MAX_BYTES", 20_000)
    shown = failure_views(failures, samples)
    assert 0 < len(shown) < NUM_FAILURES
    html = render_html(evaluate(scored_by(of_length=True)), title="t", facts={}, failures=shown)
    bare = render_html(evaluate(scored_by(of_length=True)), title="t", facts={})
    assert len(html) - len(bare) < 5 * 20_000
