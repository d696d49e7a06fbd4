"""What a recipe may say about a generative reward model, a judge: its form, its question, and the order of the answers
in it.
"""

from dataclasses import dataclass

from data_pipeline.bounds import one_of

__all__ = ["FORMS", "GenerativeConfig"]

FORMS = ("short", "reasoning")
"""What a judge writes: the verdict alone, or why first."""
_ANSWERS = """\
Two answers to the last message follow. Which one is better: more helpful, more correct, and true to the pictures, if \
there are any? Their order and their length mean nothing.

[Answer 1]
{first}
[End of answer 1]

[Answer 2]
{second}
[End of answer 2]

"""
_QUESTIONS = {
    "short": f"{_ANSWERS}Reply with 1 or 2 alone.",
    "reasoning": f"{_ANSWERS}Think first, then reply in this form: <think>why</think><answer>1 or 2</answer>",
}


@dataclass(kw_only=True)
class GenerativeConfig:
    """A language model that reads two answers and says which is better, for ``train.paradigm=generative``."""

    form: str = one_of("short", FORMS)
    """What it writes: ``short``, the verdict alone; ``reasoning``, why first, as the records' reasonings do."""
    question: str | None = None
    """What it is asked behind the prompt; ``{first}`` and ``{second}`` stand for the two answers, once each, in this
    order. It is asked the same wherever the trained model scores. Unset: a question of the `form`."""
    orders: str = one_of("both", ("both", "one"))
    """Ask about every pair of the training in ``both`` orders, or in ``one`` that is drawn; scoring asks in both. Of
    the form ``reasoning`` the records' reasonings say the orders."""

    @property
    def asked(self) -> str:
        """The question, whoever said it."""
        return _QUESTIONS[self.form] if self.question is None else self.question
