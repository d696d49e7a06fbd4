"""What was refused: counted from the quarantine's own lines, a few of them to look at, and what each reason means."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from data_pipeline.errors import CorruptData

__all__ = ["MEANINGS", "Refused", "RefusedItem", "meaning_of", "read_quarantine"]


EXAMPLES_A_REASON = 5


@dataclass(frozen=True, kw_only=True)
class RefusedItem:
    """One line of the quarantine."""

    source: str
    path: str
    row: int
    item: int
    id: str
    reason: str
    detail: str


@dataclass(kw_only=True)
class Refused:
    """The quarantine in short.

    Attributes:
        counts: items by (source, reason).
        examples: the first items of every reason, of as many sources as there are.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[str, list[RefusedItem]] = field(default_factory=dict)

    @property
    def by_reason(self) -> Counter[str]:
        """Items of each reason."""
        total: Counter[str] = Counter()
        for (_, reason), count in self.counts.items():
            total[reason] += count
        return total


def read_quarantine(lines: Iterable[str | bytes], url: str = "quarantine.jsonl") -> Refused:
    """Count the lines one by one; `url` is for messages.

    Raises:
        CorruptData: a line is no refused item.
    """
    refused = Refused()
    for place, line in enumerate(lines, start=1):
        try:
            item = RefusedItem(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise CorruptData(f"{url!r} line {place} is no refused item ({error}): preprocess again") from error
        refused.counts[item.source, item.reason] += 1
        _keep(refused.examples.setdefault(item.reason, []), item)
    return refused


def _keep(examples: list[RefusedItem], item: RefusedItem) -> None:
    """Add `item` while there is room; a source that has no example yet takes the place of another's second one."""
    if len(examples) < EXAMPLES_A_REASON:
        examples.append(item)
        return
    sources = [one.source for one in examples]
    if item.source in sources:
        return
    for place in range(len(examples) - 1, 0, -1):
        if sources.count(sources[place]) > 1:
            examples[place] = item
            return


MEANINGS: dict[str, str] = {
    "broken_image": "The image file doesn't decode.",
    "broken_video": "The video file doesn't decode to its end.",
    "contaminated": "A benchmark has the prompt, or an image.",
    "duplicate": "The same prompt, images and ranked responses came before.",
    "empty_prompt": "The prompt has neither text nor image.",
    "empty_response": "A response has neither text nor image.",
    "extreme_aspect_ratio": "One side of the image is more than 200 times the other.",
    "fewer_than_two_responses": "There is nothing to compare with.",
    "frames_differ": "The frames of a video are not all of one size.",
    "identical_after_truncation": "Two responses of different rank are alike once they are cut to the token limit.",
    "identical_responses": "All responses are alike, or two alike ones have different ranks.",
    "identical_tokens": "Two responses of different rank are the same tokens and pictures, though not the same text.",
    "image_slot_mismatch": "The text names an image that is not there, or leaves one out.",
    "invalid_text": "A text holds half a character, which UTF-8 can't.",
    "language": "The language is none that rules.languages keeps.",
    "malformed_dialogue": "The turns of a dialogue can't be told apart, or are in no order of a dialogue.",
    "malformed_record": "The record can't be read, or doesn't have the fields of its shape.",
    "media_too_large": "A media file is larger than the recipe allows.",
    "missing_critique": "A response has no critique, and the recipe reads them.",
    "missing_field": "A field that the shape needs is not there.",
    "missing_reasoning": "A pair of responses has no reasoning, and the recipe reads them.",
    "missing_media": "A media file that the record names is not there.",
    "near_duplicate": "Nearly the same prompt, images and responses came before.",
    "no_answers_found": "A judge's prompt doesn't show where its two answers begin and end.",
    "no_comparison": "The record holds no two ranked responses.",
    "no_preference": "All responses tie.",
    "over_cap": "The source has more training Comparisons than its cap.",
    "prompt_too_long": "The prompt has more characters than rules.max_prompt_chars.",
    "prompts_differ": "The responses of the record answer different prompts.",
    "remote_media": "The image is an address that the recipe doesn't allow to be fetched, or no image's.",
    "response_too_long": "A response has more characters than rules.max_response_chars.",
    "response_too_short": "A response has fewer characters than rules.min_response_chars.",
    "several_comparisons": "A line that is to be scored holds several Comparisons, and has one list of rewards.",
    "split_leak": "The record is fixed to train, but shares an image or prompt with held-out ones.",
    "too_long": "Prompt and longest response don't fit the token limit, whatever may be cut, or are beyond any limit.",
    "unavailable_media": "A media file could not be had: its host or store didn't answer, or didn't give it.",
    "unknown_role": "A turn is of no known role.",
    "unknown_split": "The record names a split that is neither train nor heldout.",
    "unparsable_label": "The preference can't be read as ranks or finite scores.",
    "unread_field": "The shape doesn't read a field that is a part of the conversation, such as calls of tools.",
    "unread_media": "The shape doesn't read a field that holds a picture, a video or sound.",
    "unsafe_path": "A media path leads out of the media root.",
    "unsupported_media": "The record needs sound, an unread field's video, or a video for a backbone that sees none.",
    "video_file": "A video file is of a format or codec that isn't read.",
    "wrong_field_type": "A field holds something else than the shape says.",
    "wrong_reasoning": "A reasoning is about a tie, or holds a tag that a judge ends it with.",
}


def meaning_of(reason: str) -> str:
    """The sentence; a reason of a newer or an own adapter says that it has none."""
    return MEANINGS.get(reason, "A reason without description here: see its details.")
