"""What a sweep's page shows of its laws, as rows of a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.pages.formats import count, p_value
from jobs.pages.sweep_words import estimate
from rm_core.scaling.analysis import Fit
from rm_core.scaling.power_law import NoFit, PowerLaw

__all__ = ["LawView", "law_rows"]


@dataclass(frozen=True, kw_only=True)
class LawView:
    """One form of a law for one line of points."""

    name: str
    form: str
    is_best: bool
    """Whether it is the form with the lower criterion."""
    cells: Sequence[str]
    """Its numbers; empty where there is no law."""
    reason: str
    """Why there is none."""


def law_rows(fits: Sequence[Fit]) -> list[LawView]:
    """Both forms of the law for each line of points, or why there is none."""
    rows = []
    for fit in fits:
        name = f"{fit.quantity.name} by {fit.measure.name}" + (f", {fit.series.name}" if fit.series.name else "")
        for law, form in ((fit.plain, "a x⁻ᵇ"), (fit.with_floor, "c + a x⁻ᵇ")):
            no_law = isinstance(law, NoFit)
            cells = [] if isinstance(law, NoFit) else _law_cells(law)
            reason = law.reason if isinstance(law, NoFit) else ""
            is_best = not no_law and law is fit.best
            rows.append(LawView(name=name, form=form, is_best=is_best, cells=cells, reason=reason))
    return rows


def _law_cells(law: PowerLaw) -> list[str]:
    return [
        estimate(law.exponent),
        estimate(law.scale),
        count(law.centre),
        "none" if law.floor is None else estimate(law.floor),
        f"× {law.factor(10):.3g}",
        "" if law.misfit is None else p_value(law.misfit),
        "" if math.isinf(law.score) else f"{law.score:.1f}",
    ]
