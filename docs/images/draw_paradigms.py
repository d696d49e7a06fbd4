"""Draws the picture of docs/paradigms.md from rows that the code makes.

    python docs/images/draw_paradigms.py     # from the project's root; writes docs/images/paradigm_rows.svg

`tests/architecture/test_paradigms_docs.py` holds the file to be what this writes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from svg_canvas import FRAME, INK, NOTE, PAPER, PROMPT, RESPONSES, Canvas

from data_pipeline.encoding.encoded import EncodedReasoning
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.questions import Asking, QuestionTokens
from rm_core.batches.packed import PackedBatch, collate
from rm_core.batches.positions import RowFormat

__all__ = ["pictures"]

NO_VISION = RowFormat(image_token=-1, video_token=-1, has_vision=False)
QUESTION, CRITIQUE = "#8c959f", ("#d3f0da", "#fbe0c8")
REASONING, VERDICT = "#e6ddf9", "#8250df"
PROMPT_TOKENS, ANSWERS, ASKED, CRITIQUES = 22, (9, 13), 8, (11, 14)
LEFT, SCALE, HEIGHT = 34, 8.0, 30
BEFORE, BETWEEN, AFTER = 6, 2, 4
"""Tokens of a question to a judge: in front of its two answers, between them, and behind them."""
REASONINGS, CLOSING = (10, 8), 2
"""Tokens of what a judge writes in front of its verdict, in each order, and behind it."""


def pictures() -> dict[str, str]:
    """Every picture by the name of its file."""
    return {"paradigm_rows.svg": draw_rows()}


def draw_rows() -> str:
    """One Comparison of two answers, as each paradigm's row."""
    canvas = Canvas(
        638,
        "One Comparison of two answers in the rows of a scalar, a critic, a generative and a reasoning reward model",
    )
    scalar, critic, judge = item(()), item(CRITIQUES), Asking(_question(), "both")(item(()))
    reasons = Asking(_question(), "given")(replace(item(()), reasonings=_reasonings()))
    _row(canvas, scalar, collate([scalar], row_format=NO_VISION), 70, "scalar: prompt once, each answer a branch")
    title = "critic: behind each answer, in its branch, a question for a critique and the critique"
    _row(canvas, critic, collate([critic], row_format=replace(NO_VISION, targets=True)), 206, title)
    title = "generative: the question once, and both answers in each order"
    _row(canvas, judge, collate([judge], row_format=replace(NO_VISION, targets=True, verdicts=True)), 342, title)
    title = "generative, form reasoning: behind each question its reasoning, and the verdict"
    _row(canvas, reasons, collate([reasons], row_format=replace(NO_VISION, targets=True, verdicts=True)), 478, title)
    canvas.legend(LEFT, 562, [(PROMPT, "prompt"), (RESPONSES[0], "answer"), (QUESTION, "question")])
    canvas.legend(LEFT + 120, 562, [(CRITIQUE[0], "critique"), (REASONING, "reasoning"), (VERDICT, "verdict")])
    canvas.text(LEFT + 250, 573, "a branch sees the prompt", size=13, fill=NOTE)
    canvas.text(LEFT + 250, 593, "and itself", size=13, fill=NOTE)
    canvas.text(LEFT + 440, 573, "▲ the token that the head reads", size=13)
    canvas.text(LEFT + 440, 593, "● where a token of a critique or a reasoning, or a verdict,", size=13)
    canvas.text(LEFT + 454, 613, "is predicted, and its loss is", size=13)
    return canvas.svg()


def _question() -> QuestionTokens:
    """A question of so many words; what stands for the prompt's header is one of them."""
    before, between, after = (np.full(size, 6, dtype=np.int32) for size in (BEFORE + 1, BETWEEN, AFTER))
    return QuestionTokens(
        before=before, between=between, after=after, verdicts=(1, 2), header=1, end=1, pads=(-1, -2),
        closing=np.full(CLOSING, 6, dtype=np.int32),
    )  # fmt: skip


def _reasonings() -> tuple[EncodedReasoning, ...]:
    """One about the answers in each order."""
    texts = [np.full(size, 7, dtype=np.int32) for size in REASONINGS]
    return EncodedReasoning(0, 1, texts[0]), EncodedReasoning(1, 0, texts[1])


def item(critiques: Sequence[int]) -> EncodedComparison:
    """A Comparison of words, with critiques of these lengths or none."""
    asked = ASKED if critiques else 0
    lengths = [answer + asked + critique for answer, critique in zip(ANSWERS, critiques or (0, 0), strict=True)]
    return EncodedComparison(
        id="A", source="drawn", split="train", prefix_ids=np.full(PROMPT_TOKENS, 5, dtype=np.int32),
        response_ids=tuple(np.full(length, 5, dtype=np.int32) for length in lengths), ranks=(0, 1),
        scores=(None, None), images=(),
        target_starts=tuple(answer + asked for answer in ANSWERS) if critiques else (),
    )  # fmt: skip


def _row(canvas: Canvas, shown: EncodedComparison, batch: PackedBatch, top: int, title: str) -> None:
    canvas.text(LEFT, top - 40, f"{title} ({batch.num_tokens} tokens)", bold=True)
    [block] = batch.layout.blocks
    asked = BEFORE if shown.questions else 0
    _segment(canvas, block.start, block.prefix_length - asked, top, PROMPT, "prompt")
    if asked:
        _segment(canvas, block.start + block.prefix_length - asked, asked, top, QUESTION, "?")
    begin = block.start + block.prefix_length
    for place, length in enumerate(block.response_lengths):
        at = begin
        for size, fill, label, ink in _parts(shown, place):
            _segment(canvas, at, size, top, fill, label, ink=ink)
            at += size
        ends = f"M{LEFT + SCALE * begin:g} {top - 6}v-5h{SCALE * length - 1:g}v5"
        canvas.path(ends, stroke=NOTE)
        middle = LEFT + SCALE * (begin + length / 2)
        canvas.text(middle, top - 16, f"branch {place + 1}", size=12, fill=NOTE, at="middle")
        begin += length
    for end in [] if shown.questions else batch.reward_index.tolist():
        x = LEFT + SCALE * (end + 0.5)
        canvas.path(f"M{x:g} {top + HEIGHT + 2}l-4 7h8z", fill=INK)
    for index in [] if batch.targets is None else sorted(set(batch.targets.index.tolist())):
        x = LEFT + SCALE * (index + 0.5)
        canvas.path(f"M{x - 2:g} {top + HEIGHT + 16}a2 2 0 1 0 4 0a2 2 0 1 0 -4 0", fill=INK)


def _parts(shown: EncodedComparison, place: int) -> list[tuple[int, str, str, str]]:
    """Tokens, colour, label and its colour of each part of a branch."""
    if shown.questions is not None:
        first, second = shown.questions.pairs[place]
        answers = [(ANSWERS[one] - 1, RESPONSES[one], f"answer {one + 1}", PAPER) for one in (first, second)]
        asked = [answers[0], (BETWEEN, QUESTION, "", PAPER), answers[1], (AFTER, QUESTION, "?", PAPER)]
        return asked + (_written(shown, place) if shown.target_starts else [])
    answer = (ANSWERS[place], RESPONSES[place], f"answer {place + 1}", PAPER)
    if not shown.target_starts:
        return [answer]
    start = shown.target_starts[place]
    critique = len(shown.response_ids[place]) - start
    asked = (start - ANSWERS[place], QUESTION, "?", PAPER)
    return [answer, asked, (critique, CRITIQUE[place], f"critique {place + 1}", INK)]


def _written(shown: EncodedComparison, place: int) -> list[tuple[int, str, str, str]]:
    """What a judge writes behind a question: why, its verdict, and the closing tag."""
    assert shown.questions is not None
    behind = shown.questions.behind
    why = len(shown.response_ids[place]) - shown.target_starts[place] - behind
    verdict = str(shown.questions.right[place] + 1)
    return [(why, REASONING, "why", INK), (1, VERDICT, verdict, PAPER), (behind - 1, REASONING, "", INK)]


def _segment(
    canvas: Canvas, start: int, length: int, top: int, fill: str, label: str, *, ink: str = PAPER
) -> None:  # fmt: skip
    canvas.box(LEFT + SCALE * start, top, SCALE * length - 1, HEIGHT, fill, stroke=FRAME)
    canvas.text(LEFT + SCALE * (start + length / 2), top + 20, label, size=12, fill=ink, at="middle")


if __name__ == "__main__":
    for name, text in pictures().items():
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")
