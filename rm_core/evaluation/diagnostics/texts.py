"""The same Comparison in other words that mean nothing else: what a probe of texts gives the model to read."""

import re
from collections.abc import Callable
from dataclasses import replace

from data_pipeline.records.comparison import Comparison, Part, Response, Turn

__all__ = ["IRRELEVANT", "POLITE", "changed_text", "without_markdown"]

POLITE = "\n\nI hope this helps! Let me know if you have any other questions."
IRRELEVANT = "\n\nBy the way, it rained here this morning."
_SPACES = "   "

# Each reads a text once, from left to right: answers are long, and anybody's.
_MARKDOWN = (
    (re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$\n?", re.MULTILINE), ""),  # fences of code, which stays
    (re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]{0,3}(?:[-*_][ \t]*){3,}$\n?", re.MULTILINE), ""),  # rules
    (re.compile(r"^([ \t]*)(?:[-*+]|>)[ \t]+", re.MULTILINE), r"\1"),  # lists and quotes
    (re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)"), r"\1"),
    (re.compile(r"\*{1,3}(?=\S)([^*\n]+)(?<=\S)\*{1,3}"), r"\1"),
    (re.compile(r"(?<!\w)_{1,3}(?=\S)([^_\n]+)(?<=\S)_{1,3}(?!\w)"), r"\1"),
    (re.compile(r"(?<!`)(`{1,3})(?!`)([^`\n]+)\1(?!`)"), r"\2"),
)


def changed_text(comparison: Comparison, probe: str) -> Comparison:
    """`comparison` as the text probe `probe` shows it; ranks and pictures stay with their answers."""
    return _CHANGES[probe](comparison)


def without_markdown(text: str) -> str:
    """The words of a Markdown text: "**Red**, see [this](u)" -> "Red, see this"; numbers of lists stay."""
    for pattern, kept in _MARKDOWN:
        text = pattern.sub(kept, text)
    return text


def _in_responses(change: Callable[[tuple[Part, ...]], tuple[Part, ...]]) -> Callable[[Comparison], Comparison]:
    def changed(comparison: Comparison) -> Comparison:
        responses: tuple[Response, ...] = tuple(replace(one, parts=change(one.parts)) for one in comparison.responses)
        return replace(comparison, responses=responses)

    return changed


def _stripped(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(without_markdown(part) if isinstance(part, str) else part for part in parts)


def _with_irrelevant(comparison: Comparison) -> Comparison:
    """At the end of the last turn, which asks."""
    *before, last = comparison.prompt
    asked: Turn = replace(last, parts=(*last.parts, IRRELEVANT))
    return replace(comparison, prompt=(*before, asked))


def _reversed(comparison: Comparison) -> Comparison:
    return replace(comparison, responses=comparison.responses[::-1])


_CHANGES: dict[str, Callable[[Comparison], Comparison]] = {
    "markdown_stripped": _in_responses(_stripped),
    "trailing_spaces": _in_responses(lambda parts: (*parts, _SPACES)),
    "polite_sentence": _in_responses(lambda parts: (*parts, POLITE)),
    "irrelevant_sentence": _with_irrelevant,
    "reversed_answers": _reversed,
}
