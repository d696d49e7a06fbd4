"""Which Comparisons are worth keeping whatever the recipe says, and which are the same.

Pure functions of content: nothing here reads a file, a setting or depends on the order of records. What a recipe can
change is decided later, by `filtering`.
"""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from typing import Any

from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import ROLES, Comparison, ImageSlot, Part, Response, text_of

__all__ = ["SPLITS", "check", "check_size", "content_key"]

SPLITS = ("train", "heldout")
MAX_TEXT_CHARS = 2_000_000
"""Of all texts of a Comparison together; the tokenizer takes some 140 bytes of memory a character."""
MAX_PARTS = 4096
"""Turns, responses, images: of each at most so many."""

_UNSEEN = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))
"""Kinds of characters that show nothing; half a surrogate pair is refused as such."""


def check(comparison: Comparison, *, labelled: bool = True) -> None:
    """Refuse what cannot be learnt from.

    Args:
        labelled: False where it is only to be scored: then one response is enough, and ranks say nothing.

    Raises:
        RecordError: unknown_role, unknown_split, fewer_than_two_responses, empty_prompt, empty_response,
            identical_responses (all alike, or two alike with different ranks), no_preference (all ranks tie),
            image_slot_mismatch (a slot without image or an image without slot), invalid_text (half a character),
            too_long (more than any recipe could keep: refused before it is tokenised).
    """
    check_size(comparison)
    _check_words(comparison)
    _check_responses(comparison.responses, labelled)
    slots, media = set(comparison.image_slots()), set(range(len(comparison.media)))
    if slots != media:
        raise RecordError("image_slot_mismatch", f"slots {sorted(slots)} for {len(media)} images")


def content_key(comparison: Comparison, image_hashes: Sequence[str]) -> str:
    """sha256 over prompt, images and ranked responses: two records with one key are exact duplicates.

    The order of the responses does not count, their ranks do: a second vote that contradicts the first is no
    duplicate. Ids, sources and scores play no part, nor do line breaks beside an image: one set writes
    "<image>\\nWhich", another "Which".

    Args:
        image_hashes: sha256 of every image, parallel to `comparison.media`.
    """
    prompt = [[turn.role, _plain(turn.parts, image_hashes)] for turn in comparison.prompt]
    responses = sorted(json.dumps([r.rank, _plain(r.parts, image_hashes)]) for r in comparison.responses)
    return hashlib.sha256(json.dumps([prompt, responses]).encode()).hexdigest()


def check_size(comparison: Comparison) -> None:
    """Refuse what is too large to be tokenised.

    Raises:
        RecordError: too_long.
    """
    counts = {"turns": comparison.prompt, "responses": comparison.responses, "images": comparison.media}
    for name, given in counts.items():
        if len(given) > MAX_PARTS:
            raise RecordError("too_long", f"{len(given):,} {name}, at most {MAX_PARTS:,} are read")
    parts = [part for turn in comparison.prompt for part in turn.parts]
    parts += [part for response in comparison.responses for part in response.parts]
    parts += [response.critique for response in comparison.responses if response.critique is not None]
    parts += [reasoning.text for reasoning in comparison.reasonings]
    chars = sum(len(part) for part in parts if isinstance(part, str))
    if chars > MAX_TEXT_CHARS:
        raise RecordError("too_long", f"texts of {chars:,} characters, at most {MAX_TEXT_CHARS:,} are tokenised")


def _check_words(comparison: Comparison) -> None:
    for turn in comparison.prompt:
        if turn.role not in ROLES:
            raise RecordError("unknown_role", f"{turn.role!r}, known: {', '.join(ROLES)}")
    if comparison.split is not None and comparison.split not in SPLITS:
        raise RecordError("unknown_split", f"{comparison.split!r}, known: {', '.join(SPLITS)}")
    if all(_is_empty(turn.parts) for turn in comparison.prompt if turn.role != "system"):
        raise RecordError("empty_prompt", f"{len(comparison.prompt)} turns without text or image")
    texts = [text_of(turn.parts) for turn in comparison.prompt] + [response.text for response in comparison.responses]
    texts += [response.critique for response in comparison.responses if response.critique is not None]
    texts += [reasoning.text for reasoning in comparison.reasonings]
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RecordError("invalid_text", f"{error.reason} at character {error.start} of {text[:80]!r}") from error


def _check_responses(responses: Sequence[Response], labelled: bool) -> None:
    if labelled and len(responses) < 2:
        raise RecordError("fewer_than_two_responses", f"{len(responses)} responses")
    for place, response in enumerate(responses):
        if _is_empty(response.parts):
            raise RecordError("empty_response", f"response {place} of {len(responses)}")
    if not labelled:
        return
    labels: dict[tuple[Part, ...], set[int]] = {}
    for response in responses:
        labels.setdefault(_stripped(response.parts), set()).add(response.rank)
    if len(labels) == 1 or any(len(ranks) > 1 for ranks in labels.values()):
        raise RecordError("identical_responses", f"{len(labels)} different texts in {len(responses)} ranked responses")
    if len({response.rank for response in responses}) == 1:
        raise RecordError("no_preference", f"all {len(responses)} responses have rank {responses[0].rank}")


def _is_empty(parts: Sequence[Part]) -> bool:
    return not any(isinstance(part, ImageSlot) or any(map(_is_seen, part)) for part in parts)


def _is_seen(character: str) -> bool:
    """Whether a person may see it: no space, no control or format character, such as one of no width."""
    return unicodedata.category(character) not in _UNSEEN


def _stripped(parts: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(part.strip() if isinstance(part, str) else part for part in parts)


def _plain(parts: Sequence[Part], image_hashes: Sequence[str]) -> list[Any]:
    plain: list[Any] = []
    for place, part in enumerate(parts):
        if isinstance(part, ImageSlot):
            plain.append({"image": image_hashes[part.index]})
            continue
        text = part.lstrip("\n") if place and isinstance(parts[place - 1], ImageSlot) else part
        before_image = place + 1 < len(parts) and isinstance(parts[place + 1], ImageSlot)
        plain.append(text.rstrip("\n") if before_image else text)
    return [part for part in plain if part != ""]
