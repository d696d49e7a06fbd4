"""What a judge that reasons writes: ``<think>why</think><answer>1</answer>``, and nothing else is a verdict.

Source of the form: the generative reward models of the BaseReward paper (arXiv 2509.16127), Table 1, whose long form
thinks in these tags.
"""

import re

__all__ = ["CLOSING", "has_tag", "reasoned", "verdict_of"]

CLOSING = "</answer>"
"""Behind the verdict."""
_WRITTEN = re.compile(r"\s*<think>(?P<why>.*?)</think>\s*<answer>\s*(?P<verdict>[12])\s*</answer>\s*", re.DOTALL)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def reasoned(why: str) -> str:
    """All that stands in front of the verdict."""
    return f"<think>{why}</think><answer>"


def has_tag(why: str) -> bool:
    """Whether a reasoning would end, or give a verdict, before its end."""
    return any(tag in why for tag in _TAGS)


def verdict_of(text: str) -> int | None:
    """0: the first answer is better, 1: the second is; None: the text does not say it in this form alone.

    A tag that is missing, that stands twice, or anything beside the two parts makes it no verdict.

    >>> verdict_of("<think>The first is wrong.</think><answer>2</answer>"), verdict_of("<answer>2</answer>")
    (1, None)
    """
    found = _WRITTEN.fullmatch(text)
    if found is None or any(text.count(tag) != 1 for tag in _TAGS):
        return None
    return int(found["verdict"]) - 1
