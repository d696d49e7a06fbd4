"""What a recipe may say about a language model behind an OpenAI-compatible address, whatever it is asked."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_pipeline.bounds import bounded, one_of
from data_pipeline.errors import MissingInput, RecipeError

__all__ = ["OF_HOW", "EndpointConfig", "check_endpoint_config", "check_template", "key_of"]

OF_HOW = ("key_variable", "concurrency", "timeout_s", "retries", "unanswered")
"""Settings that decide how the model is asked, and no text of it."""
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(kw_only=True)
class EndpointConfig:
    """Where a language model answers, and how it is asked."""

    url: str | None = None
    """Where its API begins, such as ``http://host:8000/v1``; ``/chat/completions`` below it is asked. Unset: nobody is
    asked."""
    model: str = ""
    """The name by which the address knows it."""
    key_variable: str | None = None
    """The NAME of the environment variable that holds the key; unset: no key is sent."""
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


def check_endpoint_config(config: EndpointConfig, key: str) -> None:
    """Refuse a model without a name, and what is no name of a variable; numbers are checked with the recipe.

    Args:
        key: of the section, for messages.

    Raises:
        RecipeError: names the key and the cure.
    """
    if not config.model:
        raise RecipeError(f"{key}.model is not set: give the name by which {config.url} knows the judge")
    name = config.key_variable
    if name is not None and not _NAME.fullmatch(name):  # it may be the key itself, so it is not shown
        raise RecipeError(
            f"{key}.key_variable is no name of a variable in capitals: give the name, such as JUDGE_API_KEY, and never "
            "the key, which MLflow and logs would keep"
        )


def check_template(template: str, places: Sequence[str], key: str) -> None:
    """Refuse a question that lacks one of its places, or has one twice.

    Raises:
        RecipeError: names the key and the place.
    """
    wrong = [name for name in places if template.count(name) != 1]
    if wrong:
        raise RecipeError(
            f"{key}.template has {wrong[0]} {template.count(wrong[0])} times: it needs each of {', '.join(places)} once"
        )


def key_of(config: EndpointConfig, section: str = "evaluate.judge") -> str | None:
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
