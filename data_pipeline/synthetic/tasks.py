"""Questions and answers with a known number of right attributes; pure functions of a random generator.

A wrong colour is drawn evenly from the five others. Then said colours are even and independent whatever the number of
right ones, and an answer alone never shows whether it is right.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from data_pipeline.synthetic.scenes import COLOURS, Scene, draw_scene

__all__ = [
    "Answer",
    "Task",
    "critique",
    "reasoning",
    "text_pair_task",
    "text_task",
    "visual_pair_task",
    "visual_task",
]

_SIDES = ("left", "right")
_BOTH_QUESTIONS = (
    "What colours are the left and the right shape?",
    "Name the colours of the two shapes, the left one first.",
    "Describe the colours from left to right.",
)
_BOTH_ANSWERS = (
    "The left is {} and the right is {}.",
    "Left: {}, right: {}.",
    "On the left is {}, on the right is {}.",
)
_SIDE_QUESTIONS = (
    "What colour is the shape on the {}?",
    "Which colour does the {} shape have?",
    "Look at the {} half. What colour is it?",
)
_SIDE_ANSWERS = ("The {side} is {word}.", "On the {side} is {word}.", "The {side} shape is {word}.")
_REPEAT_QUESTIONS = (
    "Repeat these two words: {}, {}.",
    "The first word is {} and the second is {}. Say them again.",
    "Copy in the same order: {}, {}.",
)
_REPEAT_ANSWERS = (
    "The first is {} and the second is {}.",
    "First: {}, second: {}.",
    "You said {}, then {}.",
)
_LOOKUP_QUESTIONS = (
    "What is the opposite of {}?",
    "Give the opposite of {}.",
    "Name the word that is opposite to {}.",
    "Think of {}. What is its opposite?",
)
_LOOKUP_ANSWERS = ("It is {}.", "The opposite is {}.", "That would be {}.")
_OPPOSITES = (
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("wet", "dry"),
    ("old", "new"),
    ("full", "empty"),
)
_OPPOSITE_OF = {**dict(_OPPOSITES), **{second: first for first, second in _OPPOSITES}}


@dataclass(frozen=True)
class Answer:
    """A sentence with one or two attributes.

    Attributes:
        num_right: how many of them are right.
        right: whether each is, in the order in which they are said.
    """

    text: str
    num_right: int
    right: tuple[bool, ...]


@dataclass(frozen=True)
class Task:
    """A question with its answers in shuffled order; `scene` is None where it is about words only."""

    question: str
    answers: tuple[Answer, ...]
    scene: Scene | None = None


def visual_task(rng: random.Random, num_right: Sequence[int]) -> Task:
    """A question about both shapes, with one answer for each entry of `num_right` (0 to 2).

    `num_right` (2, 1, 0) gives "The left is red and the right is blue." for a red and a blue shape, then perhaps
    "The left is red and the right is white." and "The left is black and the right is green.", in any order.
    """
    scene = draw_scene(rng)
    answers = _graded_answers(rng, scene.colours, num_right, rng.choice(_BOTH_ANSWERS))
    return Task(rng.choice(_BOTH_QUESTIONS), answers, scene)


def visual_pair_task(rng: random.Random) -> Task:
    """A right answer and one that differs in one attribute, about one shape or about both."""
    if rng.random() < 0.5:
        return visual_task(rng, (2, 1))
    scene = draw_scene(rng)
    place = rng.randrange(2)
    wording, side, right = rng.choice(_SIDE_ANSWERS), _SIDES[place], scene.colours[place]
    answers = [
        Answer(wording.format(side=side, word=right), 1, (True,)),
        Answer(wording.format(side=side, word=_other(rng, right, list(COLOURS))), 0, (False,)),
    ]
    rng.shuffle(answers)
    return Task(rng.choice(_SIDE_QUESTIONS).format(side), tuple(answers), scene)


def text_task(rng: random.Random, num_right: Sequence[int]) -> Task:
    """Two colour words to repeat, with one answer for each entry of `num_right` (0 to 2)."""
    names = list(COLOURS)
    words = (rng.choice(names), rng.choice(names))
    answers = _graded_answers(rng, words, num_right, rng.choice(_REPEAT_ANSWERS))
    return Task(rng.choice(_REPEAT_QUESTIONS).format(*words), answers)


def text_pair_task(rng: random.Random) -> Task:
    """Words to repeat, or an opposite to name; a right answer and one with one wrong word."""
    if rng.random() < 0.5:
        return text_task(rng, (2, 1))
    words = list(_OPPOSITE_OF)
    word = rng.choice(words)
    right = _OPPOSITE_OF[word]
    wording = rng.choice(_LOOKUP_ANSWERS)
    wrong = _other(rng, right, words)
    answers = [Answer(wording.format(right), 1, (True,)), Answer(wording.format(wrong), 0, (False,))]
    rng.shuffle(answers)
    return Task(rng.choice(_LOOKUP_QUESTIONS).format(word), tuple(answers))


def _graded_answers(
    rng: random.Random, right: tuple[str, str], num_right: Sequence[int], wording: str
) -> tuple[Answer, ...]:
    """Answers that differ from each other, in shuffled order."""
    answers: list[Answer] = []
    for count in num_right:
        answer = _graded_answer(rng, right, count, wording)
        while answer in answers:
            answer = _graded_answer(rng, right, count, wording)
        answers.append(answer)
    rng.shuffle(answers)
    return tuple(answers)


def _graded_answer(rng: random.Random, right: tuple[str, str], num_right: int, wording: str) -> Answer:
    kept = set(rng.sample((0, 1), num_right))
    said = [word if place in kept else _other(rng, word, list(COLOURS)) for place, word in enumerate(right)]
    return Answer(wording.format(*said), num_right, (0 in kept, 1 in kept))


def critique(rng: random.Random, answer: Answer, *, wrong_share: float) -> str:
    """What a critic says of the answer: of each attribute whether it is right. So many are wrong about one of them.

    "The first is right, the second is wrong."
    """
    words = _words(rng, answer, rng.random() < wrong_share)
    if len(words) == 1:
        return f"It is {words[0]}."
    return f"The first is {words[0]}, the second is {words[1]}."


def reasoning(rng: random.Random, first: Answer, second: Answer, *, wrong_share: float) -> str:
    """What a judge thinks of two answers: of each attribute whether it is right. So many are wrong about one of them.

    "1: right, wrong. 2: right, right."
    """
    wrong = rng.randrange(2) if rng.random() < wrong_share else None
    said = [", ".join(_words(rng, answer, place == wrong)) for place, answer in enumerate((first, second))]
    return f"1: {said[0]}. 2: {said[1]}."


def _words(rng: random.Random, answer: Answer, wrong: bool) -> list[str]:
    """Of each attribute whether it is right; of one of them the opposite, where that is to be `wrong`."""
    said = list(answer.right)
    if wrong:
        place = rng.randrange(len(said))
        said[place] = not said[place]
    return ["right" if one else "wrong" for one in said]


def _other(rng: random.Random, word: str, words: Sequence[str]) -> str:
    return rng.choice([other for other in words if other != word])
