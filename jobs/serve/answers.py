"""Requests of every format as rows, and rewards as answers of that format.

A request of many texts asks about each prompt once, and has at most `_AT_ONCE` rows under way: a large one leaves room
for others.
"""

import asyncio
import math
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import expit

from data_pipeline.errors import RecordError
from jobs.serve.schemas import (
    ClassifyAnswer,
    ClassifyRequest,
    ClassifyResult,
    PairAnswer,
    PairRequest,
    PairResult,
    RewardAnswer,
    RewardRequest,
    ScoreAnswer,
    ScoreRequest,
    Usage,
    Verdicts,
)
from rm_core.serving.chat_text import Rows, shared_prompts, shared_rows
from rm_core.serving.service import Answer, RewardService

__all__ = ["classify", "get_reward", "pairs", "score"]

_AT_ONCE = 16


async def score(service: RewardService, body: ScoreRequest, files: Sequence[bytes] = ()) -> ScoreAnswer:
    """Of one Comparison; its images are in it, or beside it as files."""
    if files and body.images is not None:
        raise RecordError("invalid_request", "images stand in the Comparison or come as files, not both")
    prompt = body.prompt if isinstance(body.prompt, str) else [turn.model_dump() for turn in body.prompt]
    row = {"responses": body.responses, "images": list(files) or body.images, "critiques": body.critiques}
    answer = await service.score({"prompt": _text_turn(prompt)} | row)
    scores = answer.scores
    return ScoreAnswer(
        rewards=list(scores.rewards), spread=list(scores.spread), probability=scores.probability, model=answer.model,
        critiques=[list(texts) for texts in scores.critiques], critique_tokens=scores.critique_tokens,
        verdicts=[Verdicts(**one.fields()) for one in scores.verdicts], verdict_tokens=scores.verdict_tokens,
        verdicts_unread=scores.verdicts_unread,
    )  # fmt: skip


async def get_reward(service: RewardService, body: RewardRequest, most: int) -> RewardAnswer:
    """Of OpenRLHF's queries."""
    rows = shared_rows(body.query, body.prompts, body.images, most=_most(service, most))
    rewards, answered = await _all(service, rows, len(body.query))
    return RewardAnswer(
        rewards=rewards,
        model=answered[0].model,
        critique_tokens=sum(one.scores.critique_tokens for one in answered),
        verdict_tokens=sum(one.scores.verdict_tokens for one in answered),
        verdicts_unread=sum(one.scores.verdicts_unread for one in answered),
    )


async def classify(service: RewardService, body: ClassifyRequest, most: int) -> ClassifyAnswer:
    """Of vLLM's texts, or of its chat."""
    if (body.input is None) == (body.messages is None):
        raise RecordError("missing_field", "give input or messages, one of them")
    if body.messages is not None:
        rows, count = [(_chat_row([turn.model_dump() for turn in body.messages]), [0])], 1
    else:
        texts = [body.input] if isinstance(body.input, str) else list(body.input or ())
        rows, count = shared_rows(texts, None, None, most=_most(service, most)), len(texts)
    rewards, answered = await _all(service, rows, count)
    data = [
        ClassifyResult(index=index, probs=[_activated(reward, body.use_activation)])
        for index, reward in enumerate(rewards)
    ]
    return ClassifyAnswer(id=_id("classify"), created=int(time.time()), data=data, **_named(answered))


async def pairs(service: RewardService, body: PairRequest, most: int) -> PairAnswer:
    """Of vLLM's pairs of texts."""
    prompts = _listed("queries", body.queries, "text_1", body.text_1)
    responses = _listed("documents", body.documents, "text_2", body.text_2)
    if len(prompts) == 1:
        prompts = prompts * len(responses)
    if len(prompts) != len(responses):
        raise RecordError("wrong_field_type", f"{len(prompts)} queries for {len(responses)} documents: 1, or as many")
    asked = [
        (prompt, {"prompt": _text_turn(prompt), "images": None}, response)
        for prompt, response in zip(prompts, responses, strict=True)
    ]
    rewards, answered = await _all(service, shared_prompts(asked, _most(service, most)), len(responses))
    data = [
        PairResult(index=index, score=_activated(reward, body.use_activation)) for index, reward in enumerate(rewards)
    ]
    return PairAnswer(id=_id("score"), created=int(time.time()), data=data, **_named(answered))


async def _all(service: RewardService, rows: Rows, count: int) -> tuple[list[float], list[Answer]]:
    """The rewards of all responses of all rows at their places, and what the rows got.

    Raises:
        Exception: of the first row that fails; the others are given up.
    """
    if not rows:
        raise RecordError("missing_field", "there is no text to score")
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(row: Mapping[str, Any]) -> Answer:
        async with room:
            return await service.score(row)

    tasks = [asyncio.create_task(one(row)) for row, _ in rows]
    try:
        answered = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    rewards = [math.nan] * count
    for (_, places), answer in zip(rows, answered, strict=True):
        for place, reward in zip(places, answer.scores.rewards, strict=True):
            rewards[place] = reward
    return rewards, answered


def _text_turn(prompt: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A text stays a text, also one that looks like a chat in JSON, which a table may hold as one."""
    if isinstance(prompt, str) and prompt.lstrip().startswith("["):
        return [{"role": "user", "content": prompt}]
    return prompt


def _chat_row(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """A chat that ends with its answer, as a row."""
    *prompt, last = turns
    if last["role"] != "assistant" or not prompt:
        raise RecordError("malformed_dialogue", f"messages end with a turn of {last['role']!r}: the answer comes last")
    content = last["content"]
    if not isinstance(content, str):
        if any(part.get("type") != "text" or not isinstance(part.get("text"), str) for part in content):
            raise RecordError("unsupported_media", "the answer, the last of messages, has parts that are no text")
        content = "".join(part["text"] for part in content)
    return {"prompt": prompt, "responses": [content], "images": None}


def _listed(name: str, value: str | list[str] | None, other: str, same: str | list[str] | None) -> list[str]:
    given = same if value is None else value
    if given is None or (value is not None and same is not None) or given == []:
        raise RecordError("missing_field", f"give {name} or {other}, one of them, with a text")
    return [given] if isinstance(given, str) else given


def _activated(reward: float, use_activation: bool | None) -> float:
    return float(expit(reward)) if use_activation else reward


def _named(answered: Sequence[Answer]) -> dict[str, Any]:
    tokens = sum(answer.num_tokens for answer in answered)
    written = _written(answered)
    usage = Usage(prompt_tokens=tokens, total_tokens=tokens + written, completion_tokens=written)
    return {"model": answered[0].model, "usage": usage}


def _written(answered: Sequence[Answer]) -> int:
    return sum(answer.scores.critique_tokens + answer.scores.verdict_tokens for answer in answered)


def _most(service: RewardService, most: int) -> int:
    """Responses that share a row. Those that are compared are never parted: a row of too many is refused."""
    return sys.maxsize if service.compares else most


def _id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(16)}"
