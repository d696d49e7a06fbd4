"""A judge that gave rewards, in words: who it is for the cover of a page, and what asking it came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.pages.formats import percent
from rm_core.evaluation.judge.config import JudgeConfig
from rm_core.evaluation.judge.kept import JudgeCounts

__all__ = ["JudgeView", "judge_cover", "judge_facts", "judge_view"]


@dataclass(frozen=True, kw_only=True)
class JudgeView:
    """What a page says of a judge."""

    cover: str
    warnings: Sequence[str]
    facts: Mapping[str, str]
    counts: JudgeCounts


def judge_view(config: JudgeConfig, counts: JudgeCounts) -> JudgeView:
    """The judge of a split."""
    warnings = []
    if missing := sum(counts.not_judged.values()):
        warnings.append(
            f"{missing:,} of {counts.items:,} Comparisons have no verdict of the judge; their rewards count as equal, "
            f"which is wrong: {_listed(counts.not_judged)}."
        )
    return JudgeView(cover=judge_cover(config), warnings=warnings, facts=judge_facts(counts), counts=counts)


def judge_cover(config: JudgeConfig) -> str:
    """Who gave the rewards, in a sentence; empty where it was a model."""
    if config.url is None:
        return ""
    orders = "in both orders" if config.both_orders else "in one order, drawn by the item"
    samples = f", {config.samples} answers to each question, of which the majority counts" if config.samples > 1 else ""
    return f"A judge gave the rewards: {config.model} at {config.url}, asked about every pair {orders}{samples}."


def judge_facts(counts: JudgeCounts) -> dict[str, str]:
    """What asking came to, by what it is."""
    facts = {
        "questions to the judge": f"{counts.questions:,} answered, about {counts.items:,} items",
        "answers without a verdict": f"{counts.unread:,}; none was taken for one",
    }
    if counts.verdicts:
        facts["verdicts for the answer that stood first"] = percent(counts.said_first / counts.verdicts)
    if counts.pairs:
        facts["pairs whose orders disagree"] = f"{counts.turned:,} of {counts.pairs:,}; half a win for each answer"
    facts["tokens of the judge"] = f"{counts.tokens_read:,} read, {counts.tokens_written:,} written" + (
        f"; {counts.unmetered:,} answers were not metered by the server" if counts.unmetered else ""
    )
    facts["tries without an answer"] = _listed(counts.repeated) or "none"
    return facts


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())
