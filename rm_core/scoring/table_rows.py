"""Rows of a table, as someone hands them to a registered model, as records that the generic adapter reads.

    {"prompt": "What is it?", "responses": ["A bus.", "A dog."], "images": ["a.png"]}

``prompt`` is a text, or a chat as JSON: ``[{"role": "user", "content": "..."}]``. ``images`` may be missing, None, one
path or bytes, or a list of them; a path starts from the media root, or is absolute below it. ``critiques`` may have one
text for each response, for a critic.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.registry import unranked_adapter

__all__ = ["COLUMNS", "comparison_of"]

COLUMNS = ("prompt", "responses", "images", "critiques")
_SOURCE = SourceConfig(name="request", path="")
_READ = unranked_adapter(_SOURCE.fields)


def comparison_of(row: Mapping[str, Any], number: int, media_root: str) -> Comparison:
    """One row as a Comparison without labels.

    Args:
        row: values of `COLUMNS`; lists may be numpy arrays.
        number: of the row, for messages.
        media_root: the folder that image paths start from and may not leave.

    Raises:
        RecordError: a value is missing or of another kind, or images and their places don't match.
    """
    prompt = _plain(row.get("prompt"))
    responses = _plain(row.get("responses"))
    for name, value in (("prompt", prompt), ("responses", responses)):
        if value is None:
            raise RecordError("missing_field", f"{name} has no value")
    images = _plain(row.get("images"))
    record = {"prompt": _chat(prompt), "responses": responses, "image": _below(images, media_root)}
    comparison = _with_critiques(_READ(record, _SOURCE, number), _plain(row.get("critiques")))
    check(comparison, labelled=False)
    return comparison


def _with_critiques(comparison: Comparison, critiques: Any) -> Comparison:
    if critiques is None:
        return comparison
    count = comparison.num_responses
    if not isinstance(critiques, list) or len(critiques) != count or not all(isinstance(one, str) for one in critiques):
        raise RecordError("wrong_field_type", f"critiques must be a list of {count} texts, one for each response")
    pairs = zip(comparison.responses, critiques, strict=True)
    return replace(comparison, responses=tuple(replace(one, critique=text) for one, text in pairs))


def _plain(value: Any) -> Any:
    """Lists in place of arrays; None in place of what pandas calls missing."""
    if hasattr(value, "tolist") and not isinstance(value, bytes):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if value is None or value != value else value


def _chat(prompt: Any) -> Any:
    """The turns of a chat in JSON; another text is the text of one user turn."""
    if not isinstance(prompt, str) or not prompt.lstrip().startswith("["):
        return prompt
    try:
        turns = json.loads(prompt)
    except ValueError:
        return prompt
    is_chat = isinstance(turns, list) and turns and all(isinstance(turn, dict) and "role" in turn for turn in turns)
    return turns if is_chat else prompt


def _below(value: Any, root: str) -> Any:
    """Absolute paths below `root` as paths from it; others are refused where they are read."""
    if isinstance(value, list):
        return [_below(item, root) for item in value]
    if isinstance(value, str) and os.path.isabs(value):
        inside = os.path.relpath(value, root)
        return value if inside.startswith("..") else inside
    return value
