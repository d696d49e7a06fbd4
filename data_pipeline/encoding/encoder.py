"""A Comparison as tokens: the chat template applied, image and video spans in place, their sizes fixed.

    Comparison + its media -> [prefix | response 1 | ... | response K]

    prefix      <|im_start|>system\\n...<|im_end|>\\n  turns  <|im_start|>assistant\\n
    image       <|vision_start|> n x <|image_pad|> <|vision_end|>
    video       <|vision_start|> n x <|video_pad|> <|vision_end|>,  n, and Qwen3-VL's stamps of time: see `spans.py`
    of InternVL <img> n x <IMG_CONTEXT> </img>
    response k  its text and <|im_end|>
    reasoning   <think> its text </think><answer>, about two responses, and a part of none: see `questions.py`
    critique    \\n<|im_start|>user\\n...<|im_end|>\\n<|im_start|>assistant\\n  its text and <|im_end|>, behind the
                response that it is about, and a part of its branch; the model may write it there

An answer that begins with a line break would make one token with the header's; see `EncodeConfig.answer_start`. Where
the two are read as one text, the header's line break stands in front of every response instead of ending the prefix.

The prefix equals what `chat_template.jinja` and the Hugging Face tokenizer give for the same turns. Text is never
read as a special token: "<|im_end|>" inside an answer stays ordinary text.

Transformers' `apply_chat_template` is not used: it makes one text of it all, in which special tokens are recognised.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, takewhile

import numpy as np
import numpy.typing as npt

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.encoded import EncodedComparison, EncodedReasoning, Judgement, Segments
from data_pipeline.encoding.judge_format import has_tag, reasoned
from data_pipeline.encoding.pictures import check_limits, picture_tokens, sized_picture
from data_pipeline.encoding.spans import EncodedImage, EncodedVideo, VisionSpan, stamps_of, steps_of
from data_pipeline.encoding.tokenizer import ChatTokenizer
from data_pipeline.errors import RecordError
from data_pipeline.media import IMAGE_FORMATS, Image, Video
from data_pipeline.records.checks import check_size
from data_pipeline.records.comparison import Comparison, ImageSlot, Part, Response, Turn

__all__ = [
    "EncodedComparison",
    "EncodedImage",
    "EncodedVideo",
    "Encoder",
    "Judgement",
    "Segments",
    "VisionSpan",
    "check_length",
    "check_tokens",
    "common_prefix",
]

Ids = npt.NDArray[np.int32]
_BREAK = "\n"
"""Ends the header of every turn."""


@dataclass(frozen=True, slots=True)
class _Special:
    """A special token between texts."""

    name: str


_Piece = Part | _Special


class Encoder:
    """Comparisons to tokens under one tokenizer and one config. Nothing is cut here: see `truncate.py`.

    Raises:
        RecipeError: the limits of `config` contradict each other, its family is not known, or the tokenizer lacks the
            tokens that stand for that family's pictures.
    """

    def __init__(self, tokenizer: ChatTokenizer, config: EncodeConfig) -> None:
        check_limits(config)
        self._tokenizer = tokenizer
        self._config = config
        self._format = IMAGE_FORMATS[config.family]
        self._marks = picture_tokens(tokenizer, config.family)

    def encode(self, comparison: Comparison, media: Sequence[Image | Video]) -> EncodedComparison:
        """Tokens of the whole Comparison.

        Args:
            media: the loaded images and videos, parallel to `comparison.media`.

        Raises:
            RecordError: as `encode_segments`.
        """
        return self.encode_segments(comparison, media)[0]

    def encode_segments(
        self, comparison: Comparison, media: Sequence[Image | Video]
    ) -> tuple[EncodedComparison, Segments]:
        """As `encode`, with the places where the prefix may be cut.

        Raises:
            RecordError: too_long: of more text than is tokenised at all; ``"extreme_aspect_ratio"``.
        """
        check_size(comparison)
        sized = [self._sized(one) for one in media]
        joined = self._config.answer_start == "template" and any(map(self._joins, comparison.responses))
        header, start = ("assistant", [_BREAK]) if joined else (f"assistant{_BREAK}", [])
        end: list[_Piece] = [_Special("<|im_end|>")]
        if self._config.answer_end == "line_break":
            end.append(_BREAK)
        segments = [self._ids(pieces, sized) for pieces in self._segments(comparison.prompt, header)]
        spans = [sum(isinstance(part, ImageSlot) for part in turn.parts) for turn in self._turns(comparison.prompt)]
        branches = [self._branch([*start, *response.parts, *end], response, sized) for response in comparison.responses]
        encoded = EncodedComparison(
            id=comparison.id,
            source=comparison.source,
            split=comparison.split or "",
            prefix_ids=np.concatenate(segments),
            response_ids=tuple(ids for ids, _ in branches),
            ranks=tuple(response.rank for response in comparison.responses),
            scores=tuple(response.score for response in comparison.responses),
            images=tuple(sized[slot] for slot in comparison.image_slots()),
            target_starts=tuple(start for _, start in branches) if self._config.critiques == "given" else (),
            reasonings=self._reasonings(comparison) if self._config.reasonings == "given" else (),
        )
        least = 3 if joined else 0  # the line break, a token of text, the closing one
        floors = tuple(max(least, self._floor(ids)) for ids in encoded.response_ids)
        return encoded, Segments(tuple(len(ids) for ids in segments), (*spans, 0), floors)

    def check_critiques(self, comparison: Comparison) -> None:
        """Refuse a Comparison that lacks a critique, where they are read.

        Raises:
            RecordError: ``"missing_critique"``: a response has none, or one of white space.
        """
        if self._config.critiques == "none":
            return
        for place, response in enumerate(comparison.responses):
            if not (response.critique or "").strip():
                raise RecordError("missing_critique", f"response {place} of {len(comparison.responses)}")

    def check_reasonings(self, comparison: Comparison) -> None:
        """Refuse a Comparison that lacks a reasoning about a pair of which one is better, where they are read.

        Raises:
            RecordError: ``"missing_reasoning"``.
        """
        if self._config.reasonings == "none":
            return
        written = {frozenset((one.first, one.second)) for one in comparison.reasonings if one.text.strip()}
        ranks = [response.rank for response in comparison.responses]
        for first, second in combinations(range(len(ranks)), 2):
            if ranks[first] != ranks[second] and frozenset((first, second)) not in written:
                raise RecordError("missing_reasoning", f"responses {first} and {second} of {len(ranks)}")

    def _reasonings(self, comparison: Comparison) -> tuple[EncodedReasoning, ...]:
        """Those with a text; white space at the ends says nothing.

        Raises:
            RecordError: ``"wrong_reasoning"``: one is about a tie, or has a tag in it.
        """
        found = []
        ranks = [response.rank for response in comparison.responses]
        for one in comparison.reasonings:
            if ranks[one.first] == ranks[one.second]:
                raise RecordError("wrong_reasoning", f"none of responses {one.first} and {one.second} is better")
            if has_tag(one.text):
                raise RecordError("wrong_reasoning", f"a tag of the verdict stands in {one.text[:80]!r}")
            if why := one.text.strip():
                found.append(EncodedReasoning(one.first, one.second, self._ids([reasoned(why)], ())))
        return tuple(found)

    def _branch(self, pieces: list[_Piece], response: Response, sized: Sequence[VisionSpan]) -> tuple[Ids, int]:
        """Tokens of a response's branch, and how many of them stand before its critique; all of them without one."""
        if self._config.critiques == "none":
            ids = self._ids(pieces, sized)
            return ids, len(ids)
        asked = self._ids([*pieces, *self._asking()], sized)
        # White space at its ends would be joined with the header's line break, or stand before the end of the turn.
        critique = (response.critique or "").strip()
        written = self.critique_ids(critique) if critique else np.zeros(0, dtype=np.int32)
        return np.concatenate([asked, written]), len(asked)

    def _asking(self) -> list[_Piece]:
        """What stands between an answer and its critique: the user's turn, and the header of the next."""
        start, end = _Special("<|im_start|>"), _Special("<|im_end|>")
        question = f"user{_BREAK}{self._config.critique_prompt}"
        return [_BREAK, start, question, end, _BREAK, start, f"assistant{_BREAK}"]

    def critique_ids(self, critique: str) -> Ids:
        """Tokens of a critique, with the closing one."""
        return self._ids([critique, _Special("<|im_end|>")], ())

    def _joins(self, response: Response) -> bool:
        """Whether the header's line break and the answer's first characters are other tokens as one text."""
        start = "".join(takewhile(lambda part: isinstance(part, str), response.parts))  # type: ignore[arg-type]
        if not start[:1].isspace():  # nothing else is cut into words together with a line break in front
            return False
        encode = self._tokenizer.encode
        return encode(_BREAK + start) != encode(_BREAK) + encode(start)

    def _floor(self, ids: Ids) -> int:
        ends = np.flatnonzero(ids == self._marks[2])
        return int(ends[-1]) + 2 if len(ends) else 0

    def _sized(self, medium: Image | Video) -> VisionSpan:
        if isinstance(medium, Image):
            return sized_picture(medium, self._config)
        if not self._format.has_videos:
            raise RecordError(
                "unsupported_media",
                f"a video of {len(medium.frames)} frames: backbones of encode.family={self._format.name} are shown no "
                "videos; media.videos=frames shows each frame as an image",
            )
        frames = tuple(sized_picture(frame, self._config, of_video=True) for frame in medium.frames)
        return EncodedVideo(frames, medium.seconds_per_step)

    def _turns(self, prompt: Sequence[Turn]) -> list[Turn]:
        """The prompt's turns, the system turn always first."""
        if prompt and prompt[0].role == "system":
            return list(prompt)
        return [Turn("system", (self._config.system_prompt,)), *prompt]

    def _segments(self, prompt: Sequence[Turn], header: str) -> list[list[_Piece]]:
        """Each but the last ends with a newline before a special token: tokens never cross from one to the next."""
        segments: list[list[_Piece]] = [
            [_Special("<|im_start|>"), f"{turn.role}\n", *turn.parts, _Special("<|im_end|>"), "\n"]
            for turn in self._turns(prompt)
        ]
        return [*segments, [_Special("<|im_start|>"), header]]

    def _ids(self, pieces: Sequence[_Piece], spans: Sequence[VisionSpan]) -> Ids:
        """Tokens of the pieces. Neighbouring texts are joined first: byte pairs may cross the joint ("\\n" + "\\n")."""
        tokenizer = self._tokenizer
        ids: list[int] = []
        text = ""
        for piece in pieces:
            if isinstance(piece, str):
                text += piece
            elif isinstance(piece, _Special):
                ids += [*tokenizer.encode(text), tokenizer.special_ids[piece.name]]
                text = ""
            else:
                for stamp, run in _stamped(spans[piece.index]):
                    ids += [*tokenizer.encode(text + stamp), *self._run(run)]
                    text = ""
        return np.array(ids + tokenizer.encode(text), dtype=np.int32)

    def _run(self, span: VisionSpan) -> list[int]:
        """The vision tokens of a span between their marks."""
        start, pad, end = self._marks
        if isinstance(span, EncodedVideo):
            pad = self._tokenizer.video_token
        return [start, *[pad] * span.num_tokens, end]


def _stamped(span: VisionSpan) -> list[tuple[str, VisionSpan]]:
    """Its runs of vision tokens, each with the text in front of it."""
    runs = steps_of(span)
    stamps = stamps_of(span) if isinstance(span, EncodedVideo) and span.format.stamped else ("",)
    return list(zip(stamps, runs, strict=True))


def check_length(encoded: EncodedComparison, max_tokens: int) -> None:
    """Refuse what is longer than the model is meant to read.

    Raises:
        RecordError: ``"too_long"``: prefix and longest response together exceed `max_tokens`.
    """
    if encoded.length > max_tokens:
        raise RecordError("too_long", f"{encoded.length} tokens of prompt and longest response, limit {max_tokens}")


def check_tokens(comparison: Comparison, encoded: EncodedComparison, *, labelled: bool = True) -> None:
    """Refuse what the model could not tell apart or not see at all, whatever the texts are.

    A tokenizer normalises: "é" as one character and as two give the same tokens, and some characters give none.
    Pictures count by their files, since all of one size are the same tokens.

    Args:
        labelled: False where ranks say nothing, so that equal responses do no harm.

    Raises:
        RecordError: ``"empty_response"``: no token but the closing one is left of a response;
            ``"identical_tokens"``: two responses of different rank are the same tokens and pictures.
    """
    slots = [
        [part.index for part in response.parts if isinstance(part, ImageSlot)] for response in comparison.responses
    ]
    spans = iter(encoded.images[len(encoded.images) - sum(map(len, slots)) :])
    first: dict[tuple[bytes, tuple[object, ...]], int] = {}
    for place, (ids, own) in enumerate(zip(encoded.response_ids, slots, strict=True)):
        if len(ids) == 1:
            shown = comparison.responses[place].text[:80]
            raise RecordError("empty_response", f"response {place}: the tokenizer leaves nothing of {shown!r}")
        pictures = tuple(_files_of(next(spans)) for _ in own)
        if not labelled:
            continue
        other = first.setdefault((ids.tobytes(), pictures), place)
        if encoded.ranks[other] != encoded.ranks[place]:
            raise RecordError(
                "identical_tokens",
                f"responses {other} and {place} are the same {len(ids)} tokens, ranked {encoded.ranks[other]} and "
                f"{encoded.ranks[place]}: {comparison.responses[other].text[:80]!r}, "
                f"{comparison.responses[place].text[:80]!r}",
            )


def _files_of(span: VisionSpan) -> object:
    return tuple(frame.key for frame in span.frames) if isinstance(span, EncodedVideo) else span.key


def common_prefix(response_ids: Sequence[Ids], ranks: Sequence[int]) -> int:
    """The most leading tokens that two responses of different rank share, closing tokens left out; 0 for none."""
    longest = 0
    for i, first in enumerate(response_ids):
        for j, second in enumerate(response_ids[:i]):
            if ranks[i] != ranks[j]:
                size = min(len(first), len(second)) - 1
                different = np.flatnonzero(first[:size] != second[:size])
                longest = max(longest, int(different[0]) if len(different) else size)
    return longest
