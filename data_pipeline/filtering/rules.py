"""Rules that look at one row at a time: its length after truncation, the sizes of its texts, its language."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_pipeline.config import RulesConfig
from data_pipeline.encoding.truncate import Cut, cut
from data_pipeline.filtering.columns import Bools, Ints, lists, numbers

__all__ = ["Refusal", "Sizes", "refusals", "sizes"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is left of every row after truncation; rows that stay too long are whole.

    Attributes:
        dropped_turns: int64 [N] oldest turns cut away after the system turn.
        prefix_length: int64 [N] tokens.
        response_lengths: N tuples of tokens, with the closing ones.
        too_long: bool [N] no allowed cut makes it fit.
        identical: bool [N] two responses of different rank are alike once they are cut.
        tokens: int64 [N] tokens of prefix and longest response before the cut.
    """

    dropped_turns: Ints
    prefix_length: Ints
    response_lengths: list[tuple[int, ...]]
    too_long: Bools
    identical: Bools
    tokens: Ints


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule's reason, the rows it refuses (int64, ascending) and a detail for each of them."""

    reason: str
    rows: Ints
    details: list[str]


def sizes(table: pa.Table, config: RulesConfig) -> Sizes:
    """Cut every row as `config.truncate` allows; only rows above `config.max_tokens` are looked at one by one."""
    turns, responses = lists(table["turn_lengths"]), lists(table["response_lengths"])
    prefix = turns.reduced(np.add, 0)
    tokens = prefix + responses.reduced(np.maximum, 0)
    found = Sizes(
        dropped_turns=np.zeros(len(tokens), dtype=np.int64),
        prefix_length=prefix,
        response_lengths=[tuple(row) for row in table["response_lengths"].to_pylist()],
        too_long=np.zeros(len(tokens), dtype=np.bool_),
        identical=np.zeros(len(tokens), dtype=np.bool_),
        tokens=tokens,
    )
    long = np.flatnonzero(tokens > config.max_tokens)
    columns = ["turn_lengths", "turn_images", "response_lengths", "response_floors", "common_prefix"]
    for row, record in zip(long.tolist(), table.select(columns).take(long).to_pylist(), strict=True):
        shared = record.pop("common_prefix")
        left = cut(**record, max_tokens=config.max_tokens, policy=config.truncate)
        if left is None:
            found.too_long[row] = True
            continue
        found.dropped_turns[row] = left.dropped_turns
        found.prefix_length[row] -= sum(record["turn_lengths"][1 : 1 + left.dropped_turns])
        found.response_lengths[row] = left.response_keep
        found.identical[row] = _same_after(left, record["response_lengths"], shared)
    return found


def refusals(table: pa.Table, left: Sizes, config: RulesConfig) -> list[Refusal]:
    """What each rule refuses, in the order in which the first reason counts."""
    chars = lists(table["response_chars"])
    shortest, longest = chars.reduced(np.minimum, 0), chars.reduced(np.maximum, 0)
    prompt = numbers(table["prompt_chars"]).astype(np.int64)
    limit = config.max_tokens
    found = [
        _refusal("too_long", left.too_long, left.tokens, f"{{}} tokens of prompt and longest response, limit {limit}"),
        _refusal("identical_after_truncation", left.identical, left.tokens, f"{{}} tokens before the cut to {limit}"),
        _refusal(
            "response_too_short",
            shortest < config.min_response_chars,
            shortest,
            f"a response of {{}} characters, at least {config.min_response_chars}",
        ),
    ]
    if config.max_response_chars is not None:
        detail = f"a response of {{}} characters, at most {config.max_response_chars}"
        found.append(_refusal("response_too_long", longest > config.max_response_chars, longest, detail))
    if config.max_prompt_chars is not None:
        detail = f"a prompt of {{}} characters, at most {config.max_prompt_chars}"
        found.append(_refusal("prompt_too_long", prompt > config.max_prompt_chars, prompt, detail))
    if config.languages:
        found.append(_language(table, config.languages))
    return found


def _language(table: pa.Table, allowed: list[str]) -> Refusal:
    """Rows of another language; one whose language is unknown stays: that is no reason against it."""
    names = np.array(table["language"].to_pylist(), dtype=object)
    wrong = np.flatnonzero(~np.isin(names.astype(str), [*allowed, ""])) if len(names) else np.zeros(0, dtype=np.int64)
    return Refusal("language", wrong, [f"language {names[row]!r}, kept are {', '.join(allowed)}" for row in wrong])


def _refusal(reason: str, refused: Bools, values: Ints, detail: str) -> Refusal:
    rows = np.flatnonzero(refused)
    return Refusal(reason, rows, [detail.format(value) for value in values[rows].tolist()])


def _same_after(left: Cut, lengths: list[int], common_prefix: int) -> bool:
    """Whether a cut response keeps no token beyond those that two responses of different rank share.

    Both of the two then end as the same tokens: each has at least `common_prefix` of them, and all are cut to one room.
    """
    return any(
        kept < length and kept - 1 <= common_prefix for kept, length in zip(left.response_keep, lengths, strict=True)
    )
