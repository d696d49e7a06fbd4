"""Questions and answers out of the prompts that judges were given: some sets keep them nowhere else.

A layout is the list of its marks. A prompt fits where each mark stands exactly once behind the one before it, so that
an answer that quotes a mark is refused, not cut in the wrong place.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_pipeline.errors import RecordError

__all__ = ["ARENA", "BRACKETS", "NUMBERED", "Judged", "Layout", "judged"]


@dataclass(frozen=True)
class Layout:
    """One way to write a judge's prompt.

    Attributes:
        name: what a refusal calls it.
        marks: regular expressions, in the order in which they stand.
        pieces: which pieces between marks are question, first and second answer; piece 0 stands before all marks.
    """

    name: str
    marks: tuple[str, ...]
    pieces: tuple[int, int, int] = (1, 2, 3)


@dataclass(frozen=True)
class Judged:
    """What a judge was asked: a question and two answers."""

    question: str
    first: str
    second: str


NUMBERED = Layout(
    "[Question], [Response 1], [Response 2], Output Format",
    (r"#{1,9} \[Question\]:", r"\n#+ \[Response 1\]:", r"\n#+ \[Response 2\]:", r"\n#+ \*\*Output Format"),
)
"""R1-Reward's judge. The bound of the first mark keeps an answer of 30,000 ``#`` from taking seconds."""

ARENA = Layout(
    "User Prompt, Start and End of Assistant A's and of Assistant B's Answer",
    (
        r"<\|User Prompt\|>",
        r"<\|The Start of Assistant A's Answer\|>",
        r"<\|The End of Assistant A's Answer\|>",
        r"<\|The Start of Assistant B's Answer\|>",
        r"<\|The End of Assistant B's Answer\|>",
    ),
    pieces=(1, 2, 4),
)
"""Arena-Hard's judge, which WildVision's follows."""

_FIRST = r"\] *\n\s*(?:The first response|Response 1|Response A): \["
_SECOND = r"\] *\n\s*(?:The second response|Response 2|Response B): \["
BRACKETS = (
    Layout(
        "Question: [...], The first response: [...], The second response: [...], the end",
        (r"Question: \[", _FIRST, _SECOND, r"\]\s*(?:ASSISTANT:\s*)?\Z"),
    ),
    Layout(
        "Question: [...], The first response: [...], The second response: [...], more lines",
        (r"Question: \[", _FIRST, _SECOND, r"\] *\n"),
    ),
)
"""LLaVA-Critic's judge: with nothing behind the second answer, or with instructions."""


def judged(prompt: str, layouts: Sequence[Layout], where: str, row: int) -> Judged:
    """The question and the two answers, by the first layout that fits, without the blanks around them.

    Raises:
        RecordError: none fits (``"no_answers_found"``); the detail names the first mark that stands there never, or
            more than once.
    """
    faults = []
    for layout in layouts:
        pieces = [""]
        rest = prompt
        for mark in layout.marks:
            found = list(re.finditer(mark, rest))
            if len(found) != 1:
                faults.append(f"{mark} {len(found)} times")
                break
            pieces[-1] = rest[: found[0].start()]
            rest = rest[found[0].end() :]
            pieces.append(rest)
        else:
            question, first, second = (pieces[place].strip() for place in layout.pieces)
            return Judged(question, first, second)
    known = " or ".join(layout.name for layout in layouts)
    raise RecordError("no_answers_found", f"{where} in row {row}: expected {known}; found {', '.join(faults)}")
