"""What a recipe may say about a judge that gives the rewards."""

from dataclasses import dataclass

from data_pipeline.bounds import bounded, one_of
from data_pipeline.errors import RecipeError
from rm_core.evaluation.judge.endpoint_config import EndpointConfig, check_endpoint_config, check_template

__all__ = ["PLACEHOLDERS", "JudgeConfig", "ReasonerConfig", "check_judge_config"]

PLACEHOLDERS = ("{prompt}", "{first}", "{second}")
_ASKED = """\
Below are a prompt and two answers to it. Decide which answer is better: more helpful, more correct, and true to the \
pictures, if there are any. The order of the answers and their length mean nothing.

[Prompt]
{prompt}
[End of the prompt]

[Answer 1]
{first}
[End of answer 1]

[Answer 2]
{second}
[End of answer 2]

"""
_TEMPLATE = f"{_ASKED}End with your verdict alone: <answer>1</answer> or <answer>2</answer>."
_WHY = (
    f"{_ASKED}Say in a few sentences why, calling them answer 1 and answer 2, and end with your verdict alone: "
    "<answer>1</answer> or <answer>2</answer>."
)


@dataclass(kw_only=True)
class JudgeConfig(EndpointConfig):
    """A language model behind an OpenAI-compatible address, which gives the rewards in place of a reward model."""

    url: str | None = None
    """Where its API begins, such as ``http://host:8000/v1``; ``/chat/completions`` below it is asked. Unset: the reward
    model scores."""
    both_orders: bool = True
    """Ask about every pair in both orders; false: in one, drawn by the item."""
    samples: int = bounded(1, at_least=1, at_most=99)
    """Answers to each question, of which the majority counts."""
    template: str = _TEMPLATE
    """The question; ``{prompt}``, ``{first}`` and ``{second}`` stand for texts and pictures, each once."""
    unanswered: str = one_of("fail", ("fail", "wrong"))
    """What a question without an answer after all tries does: ``fail`` the command, which goes on where it was, or have
    its item count as ``wrong``, which every report says."""


@dataclass(kw_only=True)
class ReasonerConfig(JudgeConfig):
    """A language model behind an OpenAI-compatible address, which says why one answer is better."""

    both_orders: bool = False
    """Have it write about every pair in both orders; false: in one, drawn by the item."""
    samples: int = bounded(1, at_least=1, at_most=99)
    """Texts that are asked for about each pair and order, of which the first one counts whose verdict is the record's.
    """
    template: str = _WHY
    """The question; ``{prompt}``, ``{first}`` and ``{second}`` stand for texts and pictures, each once."""
    unanswered: str = one_of("fail", ("fail", "leave"))
    """What a question without an answer after all tries does: ``fail`` the command, which goes on where it was, or
    ``leave`` its item without a reasoning."""


def check_judge_config(config: JudgeConfig, key: str = "evaluate.judge") -> None:
    """Refuse what can't be asked; numbers are checked with the recipe.

    Raises:
        RecipeError: names the key and the cure.
    """
    check_endpoint_config(config, key)
    check_template(config.template, PLACEHOLDERS, key)
    if config.samples > 1 and config.temperature == 0:
        raise RecipeError(
            f"{key}.samples={config.samples} at {key}.temperature=0 asks for the same answer {config.samples} times: "
            "raise the temperature, or leave it to the server"
        )
