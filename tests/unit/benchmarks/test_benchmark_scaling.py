"""The simulated part of the scaling benchmark on few Comparisons: goals have figures, and figures are possible."""

import pytest

from benchmarks.common.goals import judged
from benchmarks.scaling import __main__ as scaling
from benchmarks.scaling import plan as scaling_plan


def test_each_number_of_ranks_has_its_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scaling_plan, "COMPARISONS", 3000)
    monkeypatch.setattr(scaling_plan, "STEPS", 2)
    monkeypatch.setattr(scaling_plan, "RANKS", (2, 16))
    figures = scaling_plan.plan_figures()
    for ranks in (2, 16):
        assert 1 <= figures[f"straggler_{ranks}_ranks"] <= figures[f"straggler_worst_{ranks}_ranks"]
        assert figures[f"over_least_{ranks}_ranks"] >= 1
        assert 0 < figures[f"filled_{ranks}_ranks"] <= 1
    assert figures["checkpoint_gb_a_rank_16_ranks"] == pytest.approx(7.76 * 12 / 16, rel=0.01)
    assert figures["upload_s_16_ranks"] == pytest.approx(figures["checkpoint_gb_16_ranks"] / 2 / 5), "two nodes"
    scaling_plan.show_plan(figures)
    assert "16 ranks" in capsys.readouterr().out


def test_goals_are_of_figures_that_are_measured() -> None:
    figures = {f"speedup_2_ranks_{way}": 1.5 for way in scaling.WAYS}
    figures |= {f"over_least_{ranks}_ranks": 1.01 for ranks in scaling.RANKS}
    assert all(verdict["met"] for verdict in judged(figures, scaling.GOALS).values())
