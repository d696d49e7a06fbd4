"""What the page about prepared data shows of sizes: distributions and the tokens of an epoch."""

from data_pipeline.inspection.histogram import Distribution
from data_pipeline.inspection.summary import DataSummary
from jobs.pages.formats import number, share
from jobs.pages.plots import style
from jobs.pages.plots.data import Bar
from jobs.pages.views import Row

__all__ = ["budget_rows", "distribution_note", "token_bars"]


def token_bars(summary: DataSummary) -> dict[str, list[Bar]]:
    """Tokens of an epoch with shared prompts, and with one row a response."""
    budgets = summary.budgets
    text = budgets.tokens - budgets.vision_tokens
    return {
        "each prompt once": [(style.MARK, "text", text), (style.OTHER, "images", budgets.vision_tokens)],
        "one row a response": [(style.HELD_OUT, "all", budgets.tokens_apart)],
    }


def budget_rows(summary: DataSummary) -> list[Row]:
    """The same as numbers."""
    budgets = summary.budgets
    values = {
        "each prompt once a Comparison, as packed rows do": budgets.tokens,
        "of these, image tokens": budgets.vision_tokens,
        "one row a response, each with its own prompt": budgets.tokens_apart,
    }
    first = "100.0 %"
    return [
        Row(name=name, cells=(f"{value:,}", share(value, budgets.tokens) if index else first))
        for index, (name, value) in enumerate(values.items())
    ]


def distribution_note(one: Distribution) -> str:
    """The numbers a person asks for first."""
    if not one.count:
        return f"no {one.of}"
    largest = "longest" if one.unit == "tokens" else "most"
    note = f"median {number(one.median)}, mean {number(round(one.mean, 2))}, 95 % up to {number(one.p95)}"
    note += f", {largest} {one.most:,} {one.unit}"
    if one.histogram.above:
        note += f"; {one.histogram.above:,} beyond the axis"
    if one.limit is not None:
        note += f"; limit {one.limit:,}"
    return note
