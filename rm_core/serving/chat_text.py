"""A chat and its answer in one text, as other programs send them, back as turns and an answer.

    <|im_start|>system\\n...<|im_end|>\\n<|im_start|>user\\n...<|im_end|>\\n<|im_start|>assistant\\nAnswer<|im_end|>

This is what a chat template of Qwen writes, and what a policy's tokens say with their special tokens. An image is
``<|vision_start|><|image_pad|><|vision_end|>``, however many pads there are; of InternVL ``<IMG_CONTEXT>``
as its template writes it, or ``<img><IMG_CONTEXT></img>`` with as many as its processor makes of it.
"""

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline.errors import RecordError

__all__ = ["ChatText", "Rows", "read_chat_text", "shared_prompts", "shared_rows"]

Rows = list[tuple[dict[str, Any], list[int]]]
"""Rows to score, with which of the texts each of their responses is."""

_START, _END = "<|im_start|>", "<|im_end|>"
_HEADER = f"{_START}assistant\n"
_IMAGE = re.compile(
    r"<\|vision_start\|>(?:<\|image_pad\|>)+<\|vision_end\|>|<img>(?:<IMG_CONTEXT>)+</img>|<IMG_CONTEXT>"
)
_FILLERS = re.compile(r"(?:<\|endoftext\|>|<\|im_end\|>|\s)*\Z")
_MARKS = re.compile(r"(?:(?:<\|endoftext\|>|<\|im_end\|>)\s*)+\Z")
_PADS = re.compile(r"\A(?:<\|endoftext\|>|\s)*")


@dataclass(frozen=True, slots=True)
class ChatText:
    """A chat and its answer.

    Attributes:
        prompt: turns as records have them; contents are parts, with a place for each image.
        answer: its text.
        key: the text of the prompt, the same for answers to one prompt.
    """

    prompt: tuple[dict[str, Any], ...]
    answer: str
    key: str


def read_chat_text(text: str, prompt: str | None = None) -> ChatText:
    """Turns and answer of a text.

    Args:
        prompt: the text that the whole one begins with; needed where that has no turns.

    Raises:
        RecordError: malformed_dialogue: it has no turns and no prompt, or does not end with an answer.
    """
    text = _PADS.sub("", text)
    if not text.startswith(_START):
        return _without_turns(text, prompt)
    if prompt is not None and prompt.endswith(_HEADER) and text.startswith(prompt):
        head = prompt.removesuffix(_HEADER)
        return ChatText(tuple(_turns(head)), _MARKS.sub("", text[len(prompt) :]), head)
    head, found, answer = text.rpartition(_HEADER)
    if not found:
        raise _malformed("it has no turn of the assistant at its end", text)
    answer, _, behind = answer.partition(_END)
    if not _FILLERS.fullmatch(behind):
        raise _malformed("something stands behind the assistant's last turn", behind)
    return ChatText(tuple(_turns(head)), _MARKS.sub("", answer), head)


def shared_rows(
    texts: Sequence[str], prompts: Sequence[str] | None, images: Sequence[Any] | None, *, most: int
) -> Rows:
    """Rows to score; answers to one prompt share a row.

    Args:
        prompts: of every text, or None.
        images: of every text, an image or a list of them, or None.
        most: responses of a row.

    Raises:
        RecordError: as `read_chat_text`; other numbers of prompts or images than of texts.
    """
    for name, given in (("prompts", prompts), ("images", images)):
        if given is not None and len(given) != len(texts):
            raise RecordError("wrong_field_type", f"{len(given)} {name} for {len(texts)} texts")
    asked = []
    for number, text in enumerate(texts):
        read = read_chat_text(text, None if prompts is None else prompts[number])
        shown = None if images is None else images[number]
        asked.append(((read.key, repr(shown)), {"prompt": list(read.prompt), "images": shown}, read.answer))
    return shared_prompts(asked, most)


def shared_prompts(asked: Iterable[tuple[Hashable, dict[str, Any], str]], most: int) -> Rows:
    """Rows with at most so many responses each: one after the other for each prompt.

    Args:
        asked: of every text what tells its prompt from others, its row without responses, and its response.
    """
    rows: Rows = []
    last: dict[Hashable, int] = {}
    for number, (key, row, response) in enumerate(asked):
        place = last.get(key)
        if place is None or len(rows[place][1]) >= most:
            place = last[key] = len(rows)
            rows.append((row | {"responses": []}, []))
        rows[place][0]["responses"].append(response)
        rows[place][1].append(number)
    return rows


def _turns(head: str) -> list[dict[str, Any]]:
    turns = []
    for piece in head.split(_START)[1:]:
        role, break_, content = piece.partition("\n")
        content, end, behind = content.partition(_END)
        if not break_ or not end or behind.strip():
            raise _malformed(f"a turn does not end with {_END}", piece)
        turns.append({"role": role, "content": _parts(content) or ""})
    if not turns:
        raise _malformed("it has no turn before the assistant's", head)
    return turns


def _parts(content: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for number, text in enumerate(_IMAGE.split(content)):
        if number:
            parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts


def _without_turns(text: str, prompt: str | None) -> ChatText:
    if prompt is None or not text.startswith(prompt):
        raise _malformed(f"it has no turns ({_START}...), and does not begin with a prompt beside it", text)
    answer = _MARKS.sub("", text[len(prompt) :])
    return ChatText(({"role": "user", "content": _parts(prompt) or ""},), answer, prompt)


def _malformed(why: str, text: str) -> RecordError:
    return RecordError("malformed_dialogue", f"{why}: {text[:80]!r}; send turns and responses to /score")
