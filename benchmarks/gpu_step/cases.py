"""Synthetic Comparisons for `benchmarks.gpu_step`: nothing is read from disk, and no picture is decoded.

<|vision_start|> 1,024 image tokens <|vision_end|>  64 words  |  K responses of log-normal lengths around 150 words
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.common.lengths import Lengths
from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage
from data_pipeline.encoding.spans import VisionSpan

__all__ = ["SPECIAL_IDS", "Kind", "make_comparisons", "noise"]

SPECIAL_IDS = {
    "<|endoftext|>": 0,
    "<|image_pad|>": 1,
    "<|video_pad|>": 2,
    "<|vision_start|>": 3,
    "<|vision_end|>": 4,
}
_FIRST_WORD = 5


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What Comparisons are made.

    Attributes:
        side: pixels a side of the one image; 896 are 1,024 tokens. 0: no image.
        prompt: words of the prompt.
        response: words of a response.
        vocabulary: ids are below it.
    """

    num_responses: int
    side: int
    prompt: int
    response: Lengths
    vocabulary: int


def make_comparisons(kind: Kind, count: int, seed: int) -> list[EncodedComparison]:
    """Random words; the first response of each Comparison is the best, the last the worst."""
    random = np.random.default_rng(seed)
    return [_comparison(kind, f"{seed}-{number}", random) for number in range(count)]


def _comparison(kind: Kind, name: str, random: np.random.Generator) -> EncodedComparison:
    images = (EncodedImage(name, b"", kind.side, kind.side, resized=True),) if kind.side else ()
    spans = [
        [SPECIAL_IDS["<|vision_start|>"], *[SPECIAL_IDS["<|image_pad|>"]] * image.num_tokens,
         SPECIAL_IDS["<|vision_end|>"]]
        for image in images
    ]  # fmt: skip

    def words(count: int) -> npt.NDArray[np.int32]:
        return random.integers(_FIRST_WORD, kind.vocabulary, count, dtype=np.int32)

    return EncodedComparison(
        id=name,
        source="synthetic",
        split="train",
        prefix_ids=np.concatenate([*(np.array(span, dtype=np.int32) for span in spans), words(kind.prompt)]),
        response_ids=tuple(words(kind.response.draw(random)) for _ in range(kind.num_responses)),
        ranks=tuple(range(kind.num_responses)),
        scores=(None,) * kind.num_responses,
        images=images,
    )


def noise(image: VisionSpan) -> npt.NDArray[np.float32]:
    """Patches of the image: noise of its own, the same every time."""
    assert isinstance(image, EncodedImage)
    seed = [int(part) for part in image.key.split("-")]
    return np.random.default_rng(seed).standard_normal((image.num_patches, image.format.patch_values), dtype=np.float32)
