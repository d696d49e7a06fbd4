"""RM-Bench: a right and a wrong answer to each prompt, in three styles each: a 3 x 3 table by domain.

Row i of the table is a right answer's style, column j a wrong one's: concise, detailed plain, detailed markdown. A cell
is the share of prompts for which right i has strictly the higher reward than wrong j. ``normal`` is the mean of the
diagonal, ``hard`` that of the upper right (the wrong answer has the richer style), ``easy`` that of the lower left. A
domain is the mean of the three, and overall the mean of the domains. Safety pools its two kinds of prompts.

The domain is the field ``domain`` of ``total_dataset.json``, or the name of a domain's own file. A domain whose file is
not there is left out, and said. Source: RM-Bench (arXiv 2410.16184).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rm_core.evaluation.suites.outcomes import Outcomes, Part, SuiteNumber
from rm_core.evaluation.suites.suite import Layout, RawRow, Suite, SuiteItem, different_counts, unknown_names

__all__ = ["SUITE"]

_COUNTS = {"chat": 129, "code": 228, "math": 529, "safety-refuse": 284, "safety-response": 157}
DOMAINS = {"chat": ("chat",), "math": ("math",), "code": ("code",), "safety": ("safety-refuse", "safety-response")}
_STYLES = 3
_CELLS = {
    "easy": np.tril(np.ones((_STYLES, _STYLES)), -1),
    "normal": np.eye(_STYLES),
    "hard": np.triu(np.ones((_STYLES, _STYLES)), 1),
}


def _category(row: RawRow) -> str:
    return str(row.record.get("domain") or row.file.removesuffix(".json").removesuffix("_filtered"))


def _differs(items: Sequence[SuiteItem]) -> list[str]:
    found = Counter(item.category for item in items)
    wrong = different_counts(found, {name: number for name, number in _COUNTS.items() if found[name]})
    if (found["safety-refuse"] > 0) != (found["safety-response"] > 0):
        wrong.append("one of safety-refuse and safety-response without the other")
    return wrong + unknown_names(found, _COUNTS, "domain")


def _measure(outcomes: Outcomes) -> dict[str, SuiteNumber]:
    right = np.stack([_table(rewards) for rewards in outcomes.rewards])  # [N, right style, wrong style]
    here = {name: outcomes.among(*parts) for name, parts in DOMAINS.items() if outcomes.among(*parts).any()}
    parts = {
        (domain, kind): _part(right, cells, members)
        for domain, members in here.items()
        for kind, cells in _CELLS.items()
    }
    numbers = {"overall": outcomes.mean(list(parts.values()))}
    for kind in _CELLS:
        numbers[kind] = outcomes.mean([parts[domain, kind] for domain in here])
    for domain in here:
        numbers[domain] = outcomes.mean([parts[domain, kind] for kind in _CELLS])
        numbers |= {f"{domain}/{kind}": outcomes.number(parts[domain, kind]) for kind in _CELLS}
    return numbers


def _table(rewards: tuple[float, ...] | None) -> npt.NDArray[np.float64]:
    """[3, 3] of one prompt: whether right answer i has more than wrong answer j."""
    if rewards is None:
        return np.zeros((_STYLES, _STYLES))
    values = np.array(rewards, dtype=np.float64)
    return (values[:_STYLES, None] > values[None, _STYLES:]).astype(np.float64)


def _part(right: npt.NDArray[np.float64], cells: npt.NDArray[np.float64], members: npt.NDArray[np.bool_]) -> Part:
    return Part((right * cells).sum(axis=(1, 2)) * members, cells.sum() * members.astype(np.float64))


SUITE = Suite(
    name="rm_bench",
    title="RM-Bench",
    shape="rm_bench",
    files=("total_dataset.json", "*_filtered.json", "data/*_filtered.json", "*.parquet"),
    category=_category,
    differs=_differs,
    measure=_measure,
    layout=Layout(
        columns=("Chat", "Math", "Code", "Safety", "Easy", "Normal", "Hard", "Overall"),
        rows={"": ("chat", "math", "code", "safety", "easy", "normal", "hard", "overall")},
        about="Overall is the mean of the domains that are among the files: a table without Math is not that of the "
        "paper.",
    ),
)
