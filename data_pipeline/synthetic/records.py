"""A task as a raw record of each public shape, and the ways to spoil such a record.

A spoiling function gets a whole record and returns the bad one; each stands for the one reason it is planted under
in `files.py`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from data_pipeline.sources.adapters import ultrafeedback as ultrafeedback_shape
from data_pipeline.sources.adapters import vlfeedback as vlfeedback_shape
from data_pipeline.synthetic.scenes import Scene, render
from data_pipeline.synthetic.tasks import Answer, Task

__all__ = [
    "Raw",
    "RawRecord",
    "captions",
    "criticised",
    "cut_line",
    "drop_rejected",
    "empty_completion",
    "level_scores",
    "lose_image",
    "pairs",
    "reasoned",
    "repeat_chosen",
    "rlaif_v",
    "spoil_ratings",
    "truncate_image",
    "ultrafeedback",
    "vlfeedback",
]

RawRecord = dict[str, Any]

_MODELS = ["model-a", "model-b", "model-c", "model-d"]
_RATING_OF = {0: "1", 1: "3", 2: "5"}


@dataclass(frozen=True)
class Raw:
    """A record (or the text of a broken line), and the pictures beside it: path below the source's folder -> bytes."""

    record: RawRecord
    files: dict[str, bytes] = field(default_factory=dict)
    line: str | None = None


def rlaif_v(task: Task, number: str) -> Raw:
    """The row of RLAIF-V's parquet, picture included."""
    name = f"{number}.png"
    chosen, rejected = _best_first(task)
    record: RawRecord = {
        "ds_name": "synthetic",
        "image": {"bytes": render(_scene(task)), "path": name},
        "question": task.question,
        "chosen": chosen.text,
        "rejected": rejected.text,
        "origin_dataset": "synthetic",
        "origin_split": json.dumps({"model": _MODELS[0], "type": "colours"}),
        "idx": int(number),
        "image_path": name,
    }
    return Raw(record)


def vlfeedback(task: Task, number: str) -> Raw:
    """The line of VLFeedback: right attributes become the ratings of all three aspects."""
    path = f"images/{number}.jpg"
    record: RawRecord = {
        "id": f"synthetic-{number}",
        "prompt": task.question,
        "img_path": path,
        "models": _MODELS,
        "completions": [
            {"model": model, "response": answer.text, "annotations": _annotations(answer, vlfeedback_shape.ASPECTS)}
            for model, answer in zip(_MODELS, task.answers, strict=True)
        ],
    }
    return Raw(record, files={path: render(_scene(task), "JPEG")})


def captions(task: Task, number: str) -> Raw:
    """A generic line with K scored responses and a tag where the picture stands."""
    path = f"images/{number}.png"
    record: RawRecord = {
        "id": number,
        "image": path,
        "prompt": f"<image>{task.question}",
        "responses": [{"text": answer.text, "score": float(answer.num_right)} for answer in task.answers],
    }
    return Raw(record, files={path: render(_scene(task))})


def ultrafeedback(task: Task, _number: str) -> Raw:
    """The line of UltraFeedback: right attributes become the ratings of all four aspects."""
    record: RawRecord = {
        "source": "synthetic",
        "instruction": task.question,
        "models": _MODELS,
        "completions": [
            {
                "model": model,
                "response": answer.text,
                "principle": "helpfulness",
                "custom_system_prompt": "",
                "annotations": _annotations(answer, ultrafeedback_shape.ASPECTS),
                "overall_score": 1.0 + 4.5 * answer.num_right,
            }
            for model, answer in zip(_MODELS, task.answers, strict=True)
        ],
    }
    return Raw(record)


def pairs(task: Task, number: str) -> Raw:
    """A generic line with a better and a worse answer."""
    chosen, rejected = _best_first(task)
    return Raw({"id": number, "prompt": task.question, "chosen": chosen.text, "rejected": rejected.text})


def criticised(raw: Raw, task: Task, critique_of: Callable[[Answer], str]) -> Raw:
    """A record of captions, ultrafeedback or pairs with a critique of each answer."""
    for name in ("responses", "completions"):
        if name in raw.record:
            said = zip(raw.record[name], task.answers, strict=True)
            criticised = [{**one, "critique": critique_of(answer)} for one, answer in said]
            return replace(raw, record={**raw.record, name: criticised})
    chosen, rejected = _best_first(task)
    critiques = {"chosen_critique": critique_of(chosen), "rejected_critique": critique_of(rejected)}
    return replace(raw, record={**raw.record, **critiques})


def reasoned(raw: Raw, task: Task, reasoning_of: Callable[[Answer, Answer], str], turned: Callable[[], bool]) -> Raw:
    """A record of captions or pairs with a reasoning about each pair of which one answer is better.

    Args:
        turned: whether the answer that the record has later is shown first, asked once a pair.
    """
    answers = list(task.answers) if "responses" in raw.record else list(_best_first(task))
    found = []
    for first, second in combinations(range(len(answers)), 2):
        if answers[first].num_right != answers[second].num_right:
            shown = (second, first) if turned() else (first, second)
            text = reasoning_of(answers[shown[0]], answers[shown[1]])
            found.append({"first": shown[0], "second": shown[1], "text": text})
    return replace(raw, record={**raw.record, "reasonings": found})


def truncate_image(raw: Raw) -> Raw:
    """Half the picture's bytes: the header is whole, the pixels are not."""
    image = raw.record["image"]
    return replace(raw, record={**raw.record, "image": {**image, "bytes": image["bytes"][: len(image["bytes"]) // 2]}})


def lose_image(raw: Raw) -> Raw:
    """The record names a picture that is not there."""
    return replace(raw, files={})


def spoil_ratings(raw: Raw) -> Raw:
    """Three of four completions have a rating that is no number."""
    first, *others = raw.record["completions"]
    rating = {"Helpfulness": {"Rating": "N/A", "Rationale": "I cannot rate this."}}
    spoiled = [{**other, "annotations": {**other["annotations"], **rating}} for other in others]
    return replace(raw, record={**raw.record, "completions": [first, *spoiled]})


def cut_line(raw: Raw) -> Raw:
    """A line that breaks off."""
    return replace(raw, line=json.dumps(raw.record)[:-20])


def level_scores(raw: Raw) -> Raw:
    """All responses tie, so that nothing is preferred."""
    level = [{**response, "score": 1.0} for response in raw.record["responses"]]
    return replace(raw, record={**raw.record, "responses": level})


def empty_completion(raw: Raw) -> Raw:
    """One completion says nothing."""
    first, *others = raw.record["completions"]
    return replace(raw, record={**raw.record, "completions": [{**first, "response": ""}, *others]})


def repeat_chosen(raw: Raw) -> Raw:
    """Both answers are the same."""
    return replace(raw, record={**raw.record, "rejected": raw.record["chosen"]})


def drop_rejected(raw: Raw) -> Raw:
    """There is no worse answer."""
    return replace(raw, record={name: value for name, value in raw.record.items() if name != "rejected"})


def _annotations(answer: Answer, aspects: tuple[str, ...]) -> dict[str, dict[str, str]]:
    rating = {"Rating": _RATING_OF[answer.num_right], "Rationale": f"{answer.num_right} of 2 colours are right."}
    return {aspect: dict(rating) for aspect in aspects}


def _best_first(task: Task) -> list[Answer]:
    return sorted(task.answers, key=lambda answer: answer.num_right, reverse=True)


def _scene(task: Task) -> Scene:
    assert task.scene is not None, "a record with a picture needs a task with a scene"
    return task.scene
