"""Means over seeds, the ranking and the lines of a plot, by hand."""

import math

import pytest

from rm_core.scaling.seeds import pooled_means, pooled_spread, rank
from rm_core.scaling.series import MEASURES, TrialPoint, series_of, varies

PARAMETERS, DATA, COMPUTE = MEASURES


def point(
    axes: dict[str, str], seed: int = 0, *, parameters: int = 1000, comparisons: int = 100, flops: float = 1e9
) -> TrialPoint:
    label = " ".join(axes.values())
    return TrialPoint(
        id=f"{label}-{seed}", label=label, axes=axes, overrides={}, seed=seed, num_parameters=parameters,
        num_comparisons=comparisons, compute_flops=flops, gpu_hours=1.0, cost=None, accuracy=0.5, log_loss=0.7,
        train_loss=0.7, by_source={}, mlflow_run_id="r",
    )  # fmt: skip


def test_an_interval_over_seeds_is_students() -> None:
    # s = 0.0707, t(0.975, 1) = 12.706: 12.706 * 0.0707 / sqrt(2) = 0.6353
    found = pooled_means({"a": [0.8, 0.9]})["a"]
    assert (found.value, found.num_seeds) == (pytest.approx(0.85), 2)
    assert (found.low, found.high) == (pytest.approx(0.2147, abs=1e-4), pytest.approx(1.4853, abs=1e-4))
    one = pooled_means({"a": [0.8]})["a"]
    assert (one.value, one.low, one.num_seeds) == (0.8, None, 1)
    # The spread is that of both points, so two degrees of freedom: t(0.975, 2) = 4.303; b's one seed has it too.
    both = pooled_means({"a": [0.8, 0.9], "b": [0.3, 0.2], "c": [0.5]})
    assert both["a"].high == pytest.approx(0.85 + 4.3027 * 0.070711 / math.sqrt(2), abs=1e-4)
    assert both["c"].high == pytest.approx(0.5 + 4.3027 * 0.070711, abs=1e-4)


def test_spread_is_pooled_within_points() -> None:
    # Squares 0.005 and 0.02 around their means, 2 degrees of freedom.
    assert pooled_spread([[0.8, 0.9], [0.2, 0.4], [0.7]]) == (pytest.approx(math.sqrt(0.025 / 2)), 2)
    assert pooled_spread([[0.8], [0.9]]) is None


def test_the_ranking_says_how_far_behind_and_whether_it_is_noise() -> None:
    places = rank({"a": [0.80, 0.82], "b": [0.90, 0.92], "c": [0.89, 0.91]}, higher_is_better=True)
    assert [one.label for one in places] == ["b", "c", "a"]
    assert (places[0].behind, places[0].low, places[0].is_clear) == (0.0, None, None)
    # Spread 0.01414 with 3 degrees of freedom; two comparisons: t(1 - 0.0125, 3) = 4.1765.
    assert places[1].behind == pytest.approx(0.01)
    assert places[1].high == pytest.approx(0.01 + 4.1765 * 0.014142, abs=1e-5)
    assert places[1].is_clear is False
    assert places[2].low == pytest.approx(0.10 - 4.1765 * 0.014142, abs=1e-5)
    assert places[2].is_clear is True


def test_lower_may_be_better_and_one_seed_says_nothing() -> None:
    places = rank({"a": [0.5], "b": [0.4]}, higher_is_better=False)
    assert [(one.label, pytest.approx(one.behind), one.is_clear) for one in places] == [
        ("b", 0.0, None),
        ("a", 0.1, None),
    ]


def test_a_line_for_each_setting_that_does_not_move_the_measure() -> None:
    points = [
        point({"size": size, "head": head}, seed, parameters=count)
        for size, count in (("big", 4000), ("small", 1000))
        for head in ("relu", "silu")
        for seed in (0, 1)
    ]
    lines = series_of(points, PARAMETERS)
    assert [line.name for line in lines] == ["relu", "silu"]
    assert [one.label for one in lines[1].points] == ["small silu"] * 2 + ["big silu"] * 2
    assert lines[0].xs == (1000, 1000, 4000, 4000)
    assert [line.name for line in series_of([one for one in points if one.axes["head"] == "silu"], PARAMETERS)] == [""]


def test_a_head_that_adds_a_few_weights_does_not_move_parameters() -> None:
    points = [
        point({"size": size, "layers": str(layers)}, parameters=count + 20 * layers)
        for size, count in (("big", 4000), ("small", 1000))
        for layers in (1, 2)
    ]
    assert [line.name for line in series_of(points, PARAMETERS)] == ["1", "2"]


def test_seeds_of_a_label_share_one_x() -> None:
    points = [point({"size": "s"}, seed, flops=flops) for seed, flops in enumerate((1e9, 1.02e9))]
    points += [point({"size": "b"}, 0, flops=8e9)]
    (line,) = series_of(points, COMPUTE)
    assert line.xs == pytest.approx((math.sqrt(1.02) * 1e9, math.sqrt(1.02) * 1e9, 8e9))


def test_a_search_stands_on_one_line() -> None:
    points = [point({"rate": str(rate), "width": str(64 + rate)}, flops=1e9 * (1 + rate)) for rate in range(5)]
    assert [line.name for line in series_of(points, COMPUTE)] == [""]


def test_a_measure_that_hardly_varies_is_no_axis() -> None:
    assert varies([point({}, parameters=1000), point({}, parameters=1500)], PARAMETERS)
    assert not varies([point({}, parameters=1000), point({}, parameters=1400)], PARAMETERS)
    assert not varies([], PARAMETERS)
