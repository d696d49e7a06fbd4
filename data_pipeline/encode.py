"""A Comparison as tokens: the chat template applied, image spans in place, image sizes fixed.

    Comparison + its images -> [prefix | response 1 | ... | response K]

    prefix      <|im_start|>system\\n...<|im_end|>\\n  turns  <|im_start|>assistant\\n
    image       <|vision_start|> n x <|image_pad|> <|vision_end|>,  n = (height / 28) * (width / 28)
    response k  its text and <|im_end|>

The prefix equals what `chat_template.jinja` and the Hugging Face tokenizer give for the same turns. Text is never
read as a special token: "<|im_end|>" inside an answer stays ordinary text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_pipeline.comparison import Comparison, Part, Turn
from data_pipeline.config import EncodeConfig
from data_pipeline.errors import RecipeError, RecordError
from data_pipeline.media import Image, smart_resize
from data_pipeline.tokenizer import ChatTokenizer

__all__ = ["MERGED_PATCH", "PATCH", "EncodedComparison", "EncodedImage", "Encoder"]

PATCH = 14
"""Side of a vision patch in pixels."""
MERGED_PATCH = 28
"""Side of what one image token covers, in pixels: 2 x 2 patches."""

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Special:
    """A special token between texts."""

    name: str


_Piece = Part | _Special


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """One image span: the original file and the size to which it is resized.

    Attributes:
        key: sha256 of `data`, hex.
        data: the original file's bytes, not resized.
        height: in pixels after resizing, a multiple of 28.
        width: in pixels after resizing, a multiple of 28.
    """

    key: str
    data: bytes
    height: int
    width: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """(frames, rows, columns) in patches of 14 x 14 pixels: 56 x 84 pixels are (1, 4, 6)."""
        return (1, self.height // PATCH, self.width // PATCH)

    @property
    def num_patches(self) -> int:
        return self.grid[1] * self.grid[2]

    @property
    def num_tokens(self) -> int:
        """Image tokens of the span: a quarter of the patches."""
        return self.num_patches // 4


@dataclass(frozen=True, slots=True)
class EncodedComparison:
    """A Comparison as the model reads it.

    Attributes:
        id: the record's id, for messages.
        source: the name of its source.
        split: "train" or "heldout"; "" where none was assigned.
        prefix_ids: int32 [P], the prompt with its image tokens, up to and with ``<|im_start|>assistant\\n``.
        response_ids: K arrays int32 [R_k], each ending with ``<|im_end|>``.
        ranks: K ranks, 0 is best.
        scores: K scores of the source, None where it has none.
        images: one an image span, in the order of [prefix | response 1 | ... | response K].
    """

    id: str
    source: str
    split: str
    prefix_ids: Ids
    response_ids: tuple[Ids, ...]
    ranks: tuple[int, ...]
    scores: tuple[float | None, ...]
    images: tuple[EncodedImage, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens of the prefix, once, and of all responses."""
        return len(self.prefix_ids) + sum(len(ids) for ids in self.response_ids)

    @property
    def length(self) -> int:
        """Tokens of the prefix and the longest response: the longest row the model ever attends over."""
        return len(self.prefix_ids) + max(len(ids) for ids in self.response_ids)


class Encoder:
    """Comparisons to tokens under one tokenizer and one config.

    Raises:
        RecipeError: the pixel or token limits of `config` contradict each other.
    """

    def __init__(self, tokenizer: ChatTokenizer, config: EncodeConfig) -> None:
        if not 0 < config.min_pixels <= config.max_pixels:
            raise RecipeError(
                f"encode.min_pixels={config.min_pixels} and encode.max_pixels={config.max_pixels}: "
                "the first must be above 0 and at most the second"
            )
        if config.max_tokens < 1:
            raise RecipeError(f"encode.max_tokens={config.max_tokens} must be at least 1")
        self._tokenizer = tokenizer
        self._config = config

    def encode(self, comparison: Comparison, images: Sequence[Image]) -> EncodedComparison:
        """Tokens of the whole Comparison.

        Args:
            images: the loaded images, parallel to `comparison.media`.

        Raises:
            RecordError: ``"too_long"`` (prefix and longest response above `max_tokens`; nothing is cut), or
                ``"extreme_aspect_ratio"``.
        """
        sized = [self._sized(image) for image in images]
        encoded = EncodedComparison(
            id=comparison.id,
            source=comparison.source,
            split=comparison.split or "",
            prefix_ids=self._ids(self._prefix(comparison.prompt), sized),
            response_ids=tuple(
                self._ids([*response.parts, _Special("<|im_end|>")], sized) for response in comparison.responses
            ),
            ranks=tuple(response.rank for response in comparison.responses),
            scores=tuple(response.score for response in comparison.responses),
            images=tuple(sized[slot] for slot in comparison.image_slots()),
        )
        if encoded.length > self._config.max_tokens:
            raise RecordError(
                "too_long", f"{encoded.length} tokens of prompt and longest response, limit {self._config.max_tokens}"
            )
        return encoded

    def _sized(self, image: Image) -> EncodedImage:
        height, width = smart_resize(
            image.height, image.width, min_pixels=self._config.min_pixels, max_pixels=self._config.max_pixels
        )
        return EncodedImage(image.sha256, image.data, height, width)

    def _prefix(self, prompt: Sequence[Turn]) -> list[_Piece]:
        turns = list(prompt)
        if not turns or turns[0].role != "system":
            turns.insert(0, Turn("system", (self._config.system_prompt,)))
        pieces: list[_Piece] = []
        for turn in turns:
            pieces += [_Special("<|im_start|>"), f"{turn.role}\n", *turn.parts, _Special("<|im_end|>"), "\n"]
        return [*pieces, _Special("<|im_start|>"), "assistant\n"]

    def _ids(self, pieces: Sequence[_Piece], images: Sequence[EncodedImage]) -> Ids:
        """Tokens of the pieces. Neighbouring texts are joined first: byte pairs may cross the joint ("\\n" + "\\n")."""
        tokenizer = self._tokenizer
        ids: list[int] = []
        text = ""
        for piece in pieces:
            if isinstance(piece, str):
                text += piece
                continue
            ids += tokenizer.encode(text)
            text = ""
            if isinstance(piece, _Special):
                ids.append(tokenizer.special_ids[piece.name])
            else:
                ids.append(tokenizer.special_ids["<|vision_start|>"])
                ids += [tokenizer.image_token] * images[piece.index].num_tokens
                ids.append(tokenizer.special_ids["<|vision_end|>"])
        return np.array(ids + tokenizer.encode(text), dtype=np.int32)
