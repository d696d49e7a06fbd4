"""BaseReward's Table 7 on a fixture: two models weighted three ways, then a third that was trained on text alone.

Numbers are worked out by hand below; arXiv 2509.16127 has them for models of 7 and 8 billion parameters.
"""

import numpy as np
import pytest

from rm_core.ensembles.ensemble import Ensemble
from rm_core.ensembles.fit import fit
from rm_core.ensembles.judgement import Judgement, judge
from rm_core.ensembles.table import ScoreTable, score_table
from rm_core.evaluation.intervals import Resampling
from rm_core.scoring.scored import ScoredComparison

VALIDATION = 1000
ONE_SCALE = np.float64(2.0)


def pair(name: str, margin: float, *, images: int) -> ScoredComparison:
    """Rewards around 0, so that each member's mean over the two of a pair is 0."""
    return ScoredComparison(
        id=name, source="vl" if images else "rm", rewards=(margin / 2, -margin / 2), ranks=(0, 1),
        response_lengths=(4, 4), num_images=images, group=name,
    )  # fmt: skip


def validation() -> ScoreTable:
    """1,000 pairs of images and text. `vision` is right in 80 %, `other` in 60 %, `words` in 90 % of the 500 of text.

    All margins are 2 or -2 for `vision` and `other`, so both have mean 0 and spread 1: standard margins are 2, and the
    mean ones 2 (0.8 - 0.2) = 1.2 and 2 (0.6 - 0.4) = 0.4. `words` has margins of 4: spread 2, mean standard margin
    2 (0.9 - 0.1) = 1.6.
    """

    def rows(share: float, size: float, kinds: tuple[int, ...]) -> list[ScoredComparison]:
        """Of every ten in a row, the first `share` are right."""
        return [
            pair(f"{place}", size if place // 2 % 10 < 10 * share else -size, images=place % 2)
            for place in range(VALIDATION) if place % 2 in kinds
        ]  # fmt: skip

    return score_table(
        {"vision": rows(0.8, 2, (0, 1)), "other": rows(0.6, 2, (0, 1)), "words": rows(0.9, 4, (0,))}, {"words"}
    )


def benchmark() -> ScoreTable:
    """Four items with images and four of text; margins of (vision, other, words)."""
    margins = {
        "image-1": (1.0, 1.0), "image-2": (1.0, -2.0), "image-3": (-0.5, 1.0), "image-4": (-1.0, -1.0),
        "text-1": (1.0, 1.0, 2.0), "text-2": (-2.0, -1.0, 8.0), "text-3": (-1.0, 0.5, -2.0), "text-4": (-0.5, 1.2, 4.0),
    }  # fmt: skip
    scored: dict[str, list[ScoredComparison]] = {"vision": [], "other": [], "words": []}
    for name, given in margins.items():
        for member, margin in zip(scored, given, strict=False):
            scored[member].append(pair(name, margin, images=int(name.startswith("image"))))
    return score_table(scored, {"words"})


def judged(*members: str, rule: str = "mean") -> tuple[Ensemble, Judgement]:
    ensemble = fit(validation().only(members), rule, text_only={"words"})  # type: ignore[arg-type]
    found = judge(
        ensemble, validation(), benchmark(), members=members, text_only={"words"}, resampling=Resampling(samples=50)
    )
    return ensemble, found


def columns(judgement: Judgement, rule: str) -> tuple[float, float]:
    """(images, text): MMavg and Tavg of the table."""
    by_modality = judgement.rules[rule].by_modality
    return by_modality["image"].accuracy.value, by_modality["text"].accuracy.value


def test_scales_and_weights_of_the_validation_set() -> None:
    for rule, expected in (("mean", [1, 1, 1]), ("accuracy", [0.8, 0.6, 0.9]), ("confidence", [1.2, 0.4, 1.6])):
        ensemble, _ = judged("vision", "other", "words", rule=rule)
        assert [member.weight for member in ensemble.members] == pytest.approx(expected), rule
        assert [(member.mean, member.spread) for member in ensemble.members] == [(0, 1), (0, 1), (0, ONE_SCALE)]
        assert ensemble.num_comparisons == VALIDATION


def test_each_model_alone() -> None:
    _, found = judged("vision", "other", "words")
    alone = {name: one.report.overall.accuracy for name, one in found.members.items()}
    assert {name: (one.right, one.num_pairs) for name, one in alone.items()} == {
        "vision": (3, 8),  # image-1, image-2, text-1
        "other": (5, 8),  # image-1, image-3, text-1, text-3, text-4
        "words": (3, 4),  # text-1, text-2, text-4; it is not asked about images
    }


def test_three_weightings_of_two_models() -> None:
    """image-2 is 1 - 2 by mean, 0.8 - 1.2 by accuracy, 1.2 - 0.8 by confidence; text-4 is the other way round."""
    _, found = judged("vision", "other")
    assert columns(found, "mean") == (2 / 4, 2 / 4)  # image-1, image-3; text-1, text-4 (-0.5 + 1.2)
    assert columns(found, "accuracy") == (2 / 4, 2 / 4)  # image-3: -0.4 + 0.6; text-4: -0.4 + 0.72
    assert columns(found, "confidence") == (2 / 4, 1 / 4)  # image-1, image-2; text-4: -0.6 + 0.48


@pytest.mark.parametrize("rule", ["mean", "accuracy", "confidence"])
def test_a_third_model_for_text_changes_text_alone(rule: str) -> None:
    """text-2 is turned by 8 / 2 = 4 against -2 - 1: by mean and confidence, and by 0.9 x 4 against 1.6 + 0.6."""
    (_, two), (_, three) = judged("vision", "other"), judged("vision", "other", "words")
    assert columns(three, rule)[0] == columns(two, rule)[0]
    assert columns(two, rule)[1] < columns(three, rule)[1] == 3 / 4  # text-1, text-2, text-4


def test_the_spread_sees_only_those_that_read() -> None:
    ensemble, found = judged("vision", "other", "words")
    table = benchmark()
    combined = ensemble.combine(dict(zip(table.members, table.rewards, strict=True)))
    assert combined.num_members.tolist() == [3] * 8 + [2] * 8, "text stands first"
    assert found.ensemble.report.num_comparisons == 8
    assert 0 <= found.by_spread.area <= 1 and found.no_rules == {}
