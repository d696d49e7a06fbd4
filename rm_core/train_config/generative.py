"""What a recipe may say about a generative reward model, a judge: its question, and the order of the answers in it."""

from dataclasses import dataclass

from data_pipeline.bounds import one_of

__all__ = ["GenerativeConfig"]

_QUESTION = """\
Two answers to the last message follow. Which one is better: more helpful, more correct, and true to the pictures, if \
there are any? Their order and their length mean nothing.

[Answer 1]
{first}
[End of answer 1]

[Answer 2]
{second}
[End of answer 2]

Reply with 1 or 2 alone."""


@dataclass(kw_only=True)
class GenerativeConfig:
    """A language model that reads two answers and says which is better, for ``train.paradigm=generative``."""

    question: str = _QUESTION
    """What it is asked behind the prompt; ``{first}`` and ``{second}`` stand for the two answers, once each, in this
    order. It is asked the same wherever the trained model scores."""
    orders: str = one_of("both", ("both", "one"))
    """Ask about every pair of the training in ``both`` orders, or in ``one`` that is drawn; scoring asks in both."""
