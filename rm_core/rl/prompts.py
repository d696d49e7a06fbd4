"""Records of any shape -> what a policy is asked, with the pictures and the right answer; each once.

Which of them are held out is decided by content, as in preprocessing: the same prompt is held out in every run.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from data_pipeline.config import MediaConfig, SourceConfig
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.media import Image, load_image
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison, ImageSlot, Part, Response, text_of
from data_pipeline.sources.accounting import Adapter
from data_pipeline.sources.inputs import media_root_of, records_of
from data_pipeline.sources.registry import adapter_of

__all__ = ["Prompt", "PromptReader", "Prompts", "Turns", "as_texts", "is_heldout"]

Turns = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One question.

    Attributes:
        key: sha256 of the turns and the pictures; the same question twice has one.
        turns: as chat templates take them, each with a list of parts; the place of a picture is ``{"type": "image"}``.
        images: files of the pictures, in the order of their places.
        answers: texts of the record's responses, the best first; the first one is the right answer.
        ranks: of the answers; 0 is best.
    """

    key: str
    turns: Turns
    images: tuple[bytes, ...]
    answers: tuple[str, ...]
    ranks: tuple[int, ...] = (0,)

    def about(self, what: str) -> "Prompt":
        """The same with another key, for a question about it."""
        return replace(self, key=hashlib.sha256(f"{self.key} {what}".encode()).hexdigest())


@dataclass(kw_only=True)
class Prompts:
    """What was read: ``seen`` is the number of prompts, of those that are there twice, and of all refusals."""

    prompts: list[Prompt] = field(default_factory=list)
    seen: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def divided(self, fraction: float) -> tuple[list[Prompt], list[Prompt]]:
        """Those to train on and those held out, in the order of the records."""
        heldout = [is_heldout(one.key, fraction) for one in self.prompts]
        train = [one for one, out in zip(self.prompts, heldout, strict=True) if not out]
        return train, [one for one, out in zip(self.prompts, heldout, strict=True) if out]


class PromptReader:
    """Reads sources as prompts.

    Args:
        data_root: what relative paths of sources start from.
        media: how pictures are read.
        encoder: of the policy's tokenizer, counts the tokens of a prompt.
        max_tokens: of a prompt.
        pictures: whether the policy sees pictures; else prompts with some are refused.
    """

    def __init__(
        self, data_root: str, media: MediaConfig, encoder: Encoder, max_tokens: int, *, pictures: bool = True
    ) -> None:
        self._data_root = data_root
        self._media = media
        self._encoder = encoder
        self._max_tokens = max_tokens
        self._pictures = pictures

    def read(self, sources: Sequence[SourceConfig], limit: int | None = None) -> Prompts:
        """All prompts of all sources, or the first `limit`.

        Raises:
            MissingInput: a source has no files, or nothing is left of all of them.
        """
        found, keys = Prompts(), set[str]()
        for item in self._items(sources):
            if limit is not None and len(found.prompts) >= limit:
                break
            found.seen += 1
            if isinstance(item, RecordError):
                found.refused[item.reason] += 1
            elif item.key in keys:
                found.duplicates += 1
            else:
                keys.add(item.key)
                found.prompts.append(item)
        if not found.prompts:
            reasons = ", ".join(f"{number} {reason}" for reason, number in found.refused.most_common(3)) or "no record"
            raise MissingInput(f"rl.prompts hold no prompt that can be asked ({reasons}): check their shape and paths")
        return found

    def _items(self, sources: Sequence[SourceConfig]) -> Iterator[Prompt | RecordError]:
        for source in sources:
            adapter = adapter_of(source.shape)
            for file, row, record in records_of(source, self._data_root):
                try:
                    made = _made(record, adapter, source, row)
                except RecordError as error:
                    yield error
                    continue
                root = media_root_of(file, source, self._data_root)
                for one in [made] if isinstance(made, Comparison) else made:
                    yield self._prompt(one, root)

    def _prompt(self, comparison: Comparison, root: str) -> Prompt | RecordError:
        try:
            check(comparison, labelled=False)
            best = sorted(comparison.responses, key=lambda one: one.rank)
            if any(isinstance(part, ImageSlot) for one in best for part in one.parts):
                raise RecordError("image_in_response", "a policy writes text")
            if comparison.media and not self._pictures:
                raise RecordError("no_reader", "it has pictures, and the policy reads text alone")
            if any(ref.is_video for ref in comparison.media):
                raise RecordError("unsupported_media", "prompts with videos are not asked")
            images = [load_image(ref, root, self._media) for ref in comparison.media]
            self._check_length(comparison, images)
        except RecordError as error:
            return error
        turns, order = _turns(comparison)
        shown = tuple(images[index] for index in order)
        said = json.dumps([turns, [one.sha256 for one in shown]])
        return Prompt(
            key=hashlib.sha256(said.encode()).hexdigest(),
            turns=turns,
            images=tuple(one.data for one in shown),
            answers=tuple(_text(one) for one in best),
            ranks=tuple(one.rank for one in best),
        )

    def _check_length(self, comparison: Comparison, images: Sequence[Image]) -> None:
        tokens = len(self._encoder.encode(comparison, images).prefix_ids)
        if tokens > self._max_tokens:
            raise RecordError("too_long", f"a prompt of {tokens} tokens, rl.max_prompt_tokens={self._max_tokens}")


def _made(
    record: Mapping[str, Any] | RecordError, adapter: Adapter, source: SourceConfig, row: int
) -> Comparison | Sequence[Comparison]:
    if isinstance(record, RecordError):
        raise record
    return adapter(record, source, row)


def as_texts(turns: Turns) -> Turns:
    """The same, each content a text, as templates of models that read text alone take them."""
    return [{"role": one["role"], "content": "".join(part["text"] for part in one["content"])} for one in turns]


def is_heldout(key: str, fraction: float) -> bool:
    """Whether the prompt with this key is held out."""
    return int(key[:15], 16) < fraction * 16**15


def _turns(comparison: Comparison) -> tuple[Turns, list[int]]:
    """The turns, and which medium stands at each place of a picture."""
    order: list[int] = []

    def parts_of(parts: Sequence[Part]) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(part, ImageSlot):
                order.append(part.index)
                said.append({"type": "image"})
            else:
                said.append({"type": "text", "text": part})
        return said

    return [{"role": turn.role, "content": parts_of(turn.parts)} for turn in comparison.prompt], order


def _text(response: Response) -> str:
    return text_of(response.parts).strip()
