"""What a recipe may say about a judge that gives the rewards."""

import os
import re
from dataclasses import dataclass

from data_pipeline.bounds import bounded, one_of
from data_pipeline.errors import MissingInput, RecipeError

__all__ = ["PLACEHOLDERS", "JudgeConfig", "ReasonerConfig", "check_judge_config", "key_of"]

PLACEHOLDERS = ("{prompt}", "{first}", "{second}")
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
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
class JudgeConfig:
    """A language model behind an OpenAI-compatible address, which gives the rewards in place of a reward model."""

    url: str | None = None
    """Where its API begins, such as ``http://host:8000/v1``; ``/chat/completions`` below it is asked. Unset: the reward
    model scores."""
    model: str = ""
    """The name by which the address knows it."""
    key_variable: str | None = None
    """The NAME of the environment variable that holds the key; unset: no key is sent."""
    both_orders: bool = True
    """Ask about every pair in both orders; false: in one, drawn by the item."""
    samples: int = bounded(1, at_least=1, at_most=99)
    """Answers to each question, of which the majority counts."""
    template: str = _TEMPLATE
    """The question; ``{prompt}``, ``{first}`` and ``{second}`` stand for texts and pictures, each once."""
    temperature: float | None = bounded(None, at_least=0, at_most=2)
    """Sampling temperature; unset: the server's own."""
    max_tokens: int = bounded(2048, at_least=1)
    """Tokens that an answer may have; a longer one is cut, most often before its verdict."""
    token_limit_field: str = one_of("max_tokens", ("max_tokens", "max_completion_tokens"))
    """What the server calls that limit."""
    concurrency: int = bounded(8, at_least=1, at_most=512)
    """Questions under way at once."""
    timeout_s: float = bounded(120.0, above=0)
    """Seconds after which one try is given up."""
    retries: int = bounded(5, at_least=0, at_most=100)
    """Tries after the first one, of a question that got no answer: 429, 5xx, time-outs, cut or senseless answers."""
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
    if not config.model:
        raise RecipeError(f"{key}.model is not set: give the name by which {config.url} knows the judge")
    wrong = [name for name in PLACEHOLDERS if config.template.count(name) != 1]
    if wrong:
        raise RecipeError(f"{key}.template has {wrong[0]} {config.template.count(wrong[0])} times: it needs each of "
                          f"{', '.join(PLACEHOLDERS)} once")  # fmt: skip
    if config.samples > 1 and config.temperature == 0:
        raise RecipeError(
            f"{key}.samples={config.samples} at {key}.temperature=0 asks for the same answer {config.samples} times: "
            "raise the temperature, or leave it to the server"
        )
    name = config.key_variable
    if name is not None and not _NAME.fullmatch(name):  # it may be the key itself, so it is not shown
        raise RecipeError(
            f"{key}.key_variable is no name of a variable in capitals: give the name, such as JUDGE_API_KEY, and never "
            "the key, which MLflow and logs would keep"
        )


def key_of(config: JudgeConfig, section: str = "evaluate.judge") -> str | None:
    """The key, from this process's environment; None where none is sent.

    Raises:
        MissingInput: its variable is not set, or holds what can't be sent; the key is not shown.
    """
    if config.key_variable is None:
        return None
    key = os.environ.get(config.key_variable, "").strip()
    if not key:
        raise MissingInput(
            f"the variable {config.key_variable} ({section}.key_variable) is not set here: export the judge's key "
            f"in it; submit sends it sealed with --env {config.key_variable}"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise MissingInput(f"the variable {config.key_variable} holds white space or letters that no key has: set it")
    return key
