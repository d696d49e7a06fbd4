"""A judgement as numbers, as a page and as a picture."""

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from html_pages import PageReader

from data_pipeline.errors import RunError
from jobs.pages.ensemble_report import render_html, write_ensemble_report
from rm_core.ensembles.fit import calibrate, fit
from rm_core.ensembles.judgement import Judgement, judge, rewards_of, scored_by
from rm_core.ensembles.table import ScoreTable, score_table
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.metrics import evaluate
from rm_core.scoring.scored import ScoredComparison

MEMBERS = ("large <b>", "small", "words")


def table(start: int, noises: Sequence[float] = (0.5, 1.0, 0.3), count: int = 80) -> ScoreTable:
    """Three to four responses of known quality; each member adds noise and a scale of its own."""
    scored: dict[str, list[ScoredComparison]] = {name: [] for name in MEMBERS}
    for place in range(start, start + count):
        random = np.random.default_rng(place)
        quality = random.normal(size=int(random.integers(2, 5)))
        ranks = tuple(int(rank) for rank in np.argsort(np.argsort(-quality)))
        images = place % 2
        for size, (name, noise) in enumerate(zip(MEMBERS, noises, strict=True), start=1):
            rewards = tuple((10**size * (quality + random.normal(0, noise, len(quality)))).tolist())
            if name == "words" and images:
                continue
            scored[name].append(
                ScoredComparison(id=str(place), source=f"set {place % 3}", rewards=rewards, ranks=ranks,
                                 response_lengths=(3,) * len(ranks), num_images=images, group=str(place))
            )  # fmt: skip
    return score_table(scored, {"words"})


@pytest.fixture(scope="module")
def found() -> tuple[Judgement, ScoreTable]:
    fitted_on, judged_on = table(0), table(1000)
    ensemble = fit(fitted_on, "mean", text_only={"words"})
    judgement = judge(
        ensemble, fitted_on, judged_on, members=MEMBERS, text_only={"words"}, resampling=Resampling(samples=100)
    )
    return judgement, judged_on


def test_the_numbers_are_those_of_an_evaluation(found: tuple[Judgement, ScoreTable]) -> None:
    judgement, judged_on = found
    ensemble = fit(table(0), "mean", text_only={"words"})
    combined = ensemble.combine(rewards_of(judged_on, ensemble)).rewards
    assert judgement.ensemble.report.overall == evaluate(judged_on.scored(combined), bootstrap_samples=100).overall
    margins = judged_on.margins(combined)
    assert judgement.ensemble.before == calibrate(margins, 1.0)
    assert judgement.ensemble.after == calibrate(margins, ensemble.temperature)
    words = judgement.members["words"].report
    assert words.num_comparisons == 40 and list(words.by_modality) == ["text"]
    for rule, report in judgement.rules.items():
        other = fit(table(0), rule, text_only={"words"})  # type: ignore[arg-type]
        rewards = other.combine(rewards_of(judged_on, other)).rewards
        assert report.overall.accuracy.right == evaluate(judged_on.scored(rewards)).overall.accuracy.right, rule
    numbers = judgement.numbers()
    assert numbers["member/small/accuracy"] == judgement.members["small"].report.overall.accuracy.value
    assert numbers["log_loss_after"] <= numbers["log_loss_before"] and "calibration_error" not in numbers
    assert all(math.isfinite(value) for value in numbers.values())
    json.dumps(judgement.to_json(), allow_nan=False)


def test_small_margins_are_the_doubtful_ones(found: tuple[Judgement, ScoreTable]) -> None:
    judgement, _ = found
    everything = judgement.by_margin.risk[-1]
    assert judgement.by_margin.area < everything == judgement.by_spread.risk[-1]


def test_rewards_that_a_member_did_not_give_are_left_out() -> None:
    judged_on = table(1000)
    read = scored_by(judged_on, judged_on.rewards[2])
    assert len(read) == 40 and all(one.num_images == 0 for one in read)


def test_a_rule_that_has_no_weights_is_told_and_a_member_without_pairs_refused() -> None:
    backwards = table(0)
    flipped = backwards.only(("small",))
    turned = score_table({"bad": flipped.scored(-flipped.rewards[0]), "small": flipped.scored(flipped.rewards[0])})
    ensemble = fit(turned, "mean")
    judgement = judge(
        ensemble, turned, turned, members=("bad", "small"), text_only=set(), resampling=Resampling(samples=20)
    )
    assert (
        list(judgement.no_rules) == ["confidence"] and "member 'bad' has confidence" in judgement.no_rules["confidence"]
    )
    page = "".join(PageReader(render_html(ensemble, judgement, title="t", facts={})).text)
    assert "rule confidence" in page and "which is no weight" in page
    pictures = table(1001, count=1)
    fitted_on = table(0)
    whole = fit(fitted_on, "mean", text_only={"words"})
    with pytest.raises(RunError, match="member 'words' reads no judged pair"):
        judge(whole, fitted_on, pictures, members=MEMBERS, text_only={"words"}, resampling=Resampling(samples=20))


def test_the_page_is_whole_and_fetches_nothing(found: tuple[Judgement, ScoreTable], tmp_path: Path) -> None:
    judgement, _ = found
    ensemble = fit(table(0), "mean", text_only={"words"})
    facts = {"member small": "models:/small/3 <i>"}
    write_ensemble_report(str(tmp_path), ensemble, judgement, title="Three & one", facts=facts)
    html = (tmp_path / "ensemble.html").read_text(encoding="utf-8")
    page = PageReader(html)
    text = "".join(page.text)
    assert page.fetching == [] and page.handlers == [] and "script" not in page.tags
    for wanted in (
        "Three & one",
        "large <b>",
        "models:/small/3 <i>",
        "rule cautious",
        "text only",
        "Risk and coverage",
    ):
        assert wanted in text, wanted
    accuracy = judgement.ensemble.report.overall.accuracy.value
    assert f"{100 * accuracy:.1f} %" in text and "<b>" not in html and "nan" not in text.lower()


def test_the_picture_is_one_of_the_size_it_says(found: tuple[Judgement, ScoreTable], tmp_path: Path) -> None:
    judgement, _ = found
    ensemble = fit(table(0), "mean", text_only={"words"})
    for name in ("a", "b"):
        write_ensemble_report(str(tmp_path / name), ensemble, judgement, title="t", facts={})
    data = (tmp_path / "a/ensemble.png").read_bytes()
    assert data == (tmp_path / "b/ensemble.png").read_bytes()
    assert PIL.Image.open(io.BytesIO(data)).size == (1500, 480)
