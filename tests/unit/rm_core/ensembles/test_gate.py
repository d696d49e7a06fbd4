"""The gate: each rule lets pass or refuses, with its number."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from data_pipeline.errors import UserError
from rm_core.ensembles.config import GateConfig
from rm_core.ensembles.gate import AgainstMember, Decision, Standing, decide
from rm_core.ensembles.suites import SuiteStanding
from rm_core.scoring.scored import ScoredComparison

GATE = GateConfig(min_comparisons=20, min_group_comparisons=10)


def standing(
    margins: Sequence[float], *, images: int = 0, source: str = "words", temperature: float = 1.0, group: str = ""
) -> Standing:
    """One pair a margin; right where it is above 0."""
    scored = [
        ScoredComparison(
            id=str(place),
            source=source,
            rewards=(margin, 0.0),
            ranks=(0, 1),
            response_lengths=(3, 3),
            num_images=images,
            group=group or f"{source}/{place}",
        )
        for place, margin in enumerate(margins)
    ]
    return Standing(scored=scored, temperature=temperature)


def both(first: Standing, second: Standing) -> Standing:
    return Standing(scored=[*first.scored, *second.scored], temperature=first.temperature)


def failed(decision: Decision) -> list[str]:
    return [check.rule for check in decision.checks if not check.passed]


WEAK = standing([2.0] * 20 + [-2.0] * 20)
STRONG = standing([2.0] * 36 + [-2.0] * 4)


def test_the_first_champion_needs_no_rival_but_enough_comparisons() -> None:
    assert decide(WEAK, None, GATE).passed
    few = decide(standing([1.0] * 19), None, GATE)
    assert few.refusals == ("19 judged Comparisons with an order in 19 groups, 20 are asked for",)
    tied = [replace(one, id=f"tied-{one.id}", ranks=(0, 0)) for one in standing([1.0] * 30).scored]
    [check] = decide(Standing(scored=[*tied, *standing([1.0] * 5).scored], temperature=1.0), None, GATE).checks
    assert (check.value, check.passed) == (5, False), "Comparisons whose labels all tie decide nothing"


def test_a_better_candidate_passes_every_rule() -> None:
    decision = decide(STRONG, WEAK, GATE)
    assert decision.passed and decision.refusals == ()
    assert [check.rule for check in decision.checks] == ["enough", "better", "group/text", "group/words", "calibration"]
    better = decision.checks[1]
    assert decision.comparison is not None and decision.comparison.difference == 0.4
    assert better.value == decision.comparison.interval.low > 0
    assert "+40.00 points of accuracy against the champion" in better.text and "p = 3.05e-05" in better.text


def test_one_that_may_be_better_by_chance_is_refused() -> None:
    decision = decide(standing([2.0] * 23 + [-2.0] * 17), WEAK, GATE)
    assert failed(decision) == ["better"], "3 of 3 that differ: p = 0.25"
    assert "+7.50 points" in decision.refusals[0] and "p = 0.25" in decision.refusals[0]
    same = decide(WEAK, WEAK, GATE)
    assert "better" in failed(same)
    wanted = GateConfig(min_comparisons=20, min_group_comparisons=10, min_gain=0.35)
    assert failed(decide(STRONG, WEAK, wanted)) == ["better"], "the interval reaches below 0.35"


def test_a_group_that_gets_worse_is_named_with_its_number() -> None:
    champion = both(WEAK, standing([2.0] * 20, images=1, source="pictures"))
    candidate = both(standing([2.0] * 40), standing([2.0] * 19 + [-2.0], images=1, source="pictures"))
    decision = decide(candidate, champion, GATE)
    assert failed(decision) == ["group/image", "group/pictures"]
    assert decision.refusals[0] == "image: -5.00 points of accuracy on 20 Comparisons in 20 groups, -2.00 are allowed"
    small = GateConfig(min_comparisons=20, min_group_comparisons=21)
    assert decide(candidate, champion, small).passed, "groups below 21 are not looked at"
    loose = GateConfig(min_comparisons=20, min_group_comparisons=10, max_group_loss=0.05)
    assert decide(candidate, champion, loose).passed


def test_worse_calibration_is_refused_by_number() -> None:
    """36 of 40 right with margins of 20: certain, and wrong one time in ten."""
    sure = standing([20.0] * 36 + [-20.0] * 4)
    decision = decide(sure, WEAK, GateConfig(min_comparisons=20, max_calibration_loss=-0.3))
    [check] = [one for one in decision.checks if one.rule == "calibration"]
    predicted = 1 / (1 + 2.718281828459045**-2)  # of the champion's margins, of which half are right
    assert check.value == pytest.approx(0.1 - (predicted - 0.5), abs=1e-6)
    assert not check.passed and check.text.startswith("calibration error 0.1000, the champion's is 0.3808")
    tempered = Standing(scored=sure.scored, temperature=10.0)
    assert decide(tempered, WEAK, GATE).checks[-1].value < check.value, "the temperature counts"


def test_every_failed_rule_is_told_at_once() -> None:
    decision = decide(standing([1.0] * 5 + [-9.0] * 5), standing([1.0] * 10), GATE)
    assert failed(decision) == ["enough", "better", "group/text", "group/words", "calibration"]
    assert decision.to_json()["passed"] is False


def test_other_comparisons_are_no_rivals() -> None:
    with pytest.raises(UserError, match="not the same Comparisons were scored"):
        decide(STRONG, standing([1.0] * 30), GATE)


def test_a_lead_on_one_picture_is_no_lead() -> None:
    """16 of 40 more are right, and all of them are asked about one picture."""
    crowd = standing([2.0] * 36 + [-2.0] * 4, group="image:one")
    alone = decide(STRONG, WEAK, GATE)
    one_picture = decide(crowd, standing([2.0] * 20 + [-2.0] * 20, group="image:one"), GATE)
    assert alone.passed and failed(one_picture) == ["better"]
    assert "p = 1, 1 groups" in one_picture.refusals[0]
    halves = [replace(one, group=f"image:{int(one.id) % 2}") for one in STRONG.scored]
    assert failed(decide(Standing(scored=halves, temperature=1.0), WEAK, GATE)) == ["better"], "in the candidate's too"


def test_rewards_without_groups_decide_nothing() -> None:
    old = Standing(scored=[replace(one, group=None) for one in STRONG.scored], temperature=1.0)
    for candidate, champion in ((old, WEAK), (STRONG, replace(WEAK, scored=old.scored)), (old, None)):
        with pytest.raises(UserError, match="has no group"):
            decide(candidate, champion, GATE)


def test_a_first_champion_is_told_of_a_better_member_and_of_the_longer_answer() -> None:
    """Both with their numbers; neither refuses."""
    short = [replace(one, response_lengths=(9, 3) if int(one.id) < 30 else (3, 9)) for one in WEAK.scored]
    members = {
        "small": AgainstMember(difference=-0.05, low=-0.11, high=0.01, num_comparisons=40, num_groups=31),
        "large": AgainstMember(difference=0.02, low=-0.01, high=0.05, num_comparisons=40, num_groups=31),
    }
    for rival in (None, WEAK):
        decision = decide(Standing(scored=short, temperature=1.0, members=members), rival, GATE)
        assert set(decision.notes) == {"length", "member/small"}
        assert decision.notes["member/small"] == (
            "WORSE: -5.00 points (-11.00 to +1.00) over its member small on 40 Comparisons in 31 groups"
        )
        assert decision.notes["length"].startswith("WORSE: -25.00 points (-")
        assert "the longer answer wins, which has 0.750, on 40 Comparisons in 40 groups" in decision.notes["length"]
        assert decision.to_json()["notes"] == decision.notes
    assert decide(STRONG, None, GATE).notes["length"].startswith("+40.00 points")
    assert decide(replace(STRONG, scored=short), None, GATE).passed


def on_suite(of: Standing, value: float, files: tuple[str, ...] = ("aa",), name: str = "rm_bench") -> Standing:
    return replace(of, suites={name: SuiteStanding(number="overall", value=value, num_rows=1327, files=files)})


def test_a_suite_that_is_asked_for_has_to_be_measured_and_good_enough() -> None:
    gate = replace(GATE, suites={"rm_bench": 0.6})
    assert decide(on_suite(WEAK, 0.6), None, gate).passed
    low = decide(on_suite(WEAK, 0.59), None, gate)
    assert low.refusals == ("rm_bench: overall 0.590 on 1,327 rows, 0.600 is asked for",)
    missing = decide(on_suite(STRONG, 0.9, name="rewardbench"), WEAK, gate)
    assert failed(missing) == ["suite/rm_bench"] and "name it in ensemble.suites" in missing.refusals[0]


def test_a_suite_may_not_get_much_worse_than_the_champions_on_the_same_rows() -> None:
    champion = on_suite(WEAK, 0.70)
    assert decide(on_suite(STRONG, 0.69), champion, GATE).passed
    lost = decide(on_suite(STRONG, 0.66), champion, GATE)
    assert failed(lost) == ["suite_loss/rm_bench"]
    assert lost.refusals[0].startswith("rm_bench: overall 0.660, the champion's is 0.700, on 1,327 rows; -0.020")
    assert decide(on_suite(STRONG, 0.66, files=("bb",)), champion, GATE).passed, "other rows are not compared"
    assert decide(STRONG, champion, GATE).passed, "nobody asked for it"
