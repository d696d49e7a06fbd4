"""Transformers' `generate` over a reward model's own backbone and language head: no second copy of the weights.

The branches of a Comparison are one batch, filled up on the left; each is a whole row [prefix | response] there, since
a cache of keys and values has no packed layout.
Legend: B branches, L tokens of the longest, N texts a branch.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2ForCausalLM,
    Qwen2VLForConditionalGeneration,
    Qwen3ForCausalLM,
    Qwen3VLForConditionalGeneration,
    StoppingCriteria,
    StoppingCriteriaList,
)

from data_pipeline.encoding.encoded import EncodedComparison, spans_of_parts
from data_pipeline.encoding.spans import EncodedVideo, VisionSpan
from data_pipeline.encoding.tokenizer import ChatTokenizer
from rm_core.batches.pixels import patches_of
from rm_core.generation.config import SamplingConfig
from rm_core.generation.interface import END, Written, check_time, forbidden, opened, seed_of, written_of
from rm_core.model.reward_model import RewardModel

__all__ = ["TransformersWriter"]

_CLASSES: dict[str, Any] = {
    "qwen2_5_vl": Qwen2_5_VLForConditionalGeneration,
    "qwen2_vl": Qwen2VLForConditionalGeneration,
    "qwen3_vl": Qwen3VLForConditionalGeneration,
    "qwen2": Qwen2ForCausalLM,
    "qwen3": Qwen3ForCausalLM,
}


class TransformersWriter:
    """A `Writer`.

    Args:
        model: one that writes, in evaluation mode.
        tokenizer: of its folder.
        config: how tokens are sampled.
    """

    def __init__(self, model: RewardModel, tokenizer: ChatTokenizer, config: SamplingConfig) -> None:
        if model.lm_head is None:
            raise ValueError("the model has no language head: it cannot write")
        self._model = model
        self._tokenizer = tokenizer
        self._config = config
        settings = copy.deepcopy(model.backbone.config)
        with torch.device("meta"):
            self._language_model: Any = _CLASSES[settings.model_type](settings).eval()
        self._language_model.model = model.backbone
        self._language_model.lm_head.weight = model.lm_head.weight
        self._end = tokenizer.special_ids[END]
        self._sampling = self._sampled(len(model.lm_head.weight))

    def write(
        self, item: EncodedComparison, *, blank: bool = False, until_s: float | None = None
    ) -> list[list[Written]]:
        """Texts behind each branch, in the order of the responses; see `Writer`."""
        texts = [written_of(ids, self._tokenizer) for ids in self.tokens(item, blank=blank, until_s=until_s)]
        number = self._config.number
        return [texts[start : start + number] for start in range(0, len(texts), number)]

    def tokens(self, item: EncodedComparison, *, blank: bool = False, until_s: float | None = None) -> list[list[int]]:
        """The tokens of these texts, one after the other, up to and with the closing one, which may repeat."""
        item = opened(item)
        inputs = self._inputs(item, blank)
        length = inputs["input_ids"].shape[1]
        seed = seed_of(self._config.seed, (item.prefix_ids, *item.response_ids))
        with torch.inference_mode(), self._own_attention(), _seeded(seed, inputs["input_ids"].device):
            found: Tensor = self._language_model.generate(
                **inputs, generation_config=self._sampling, stopping_criteria=StoppingCriteriaList([_Until(until_s)])
            )
        tokens: list[list[int]] = found[:, length:].tolist()
        return tokens

    def _sampled(self, vocabulary: int) -> GenerationConfig:
        config = self._config
        sampling = {"do_sample": True, "temperature": config.temperature, "top_p": config.top_p, "top_k": 0}
        return GenerationConfig(
            max_new_tokens=config.max_tokens,
            num_return_sequences=config.number,
            eos_token_id=self._end,
            pad_token_id=self._end,
            suppress_tokens=forbidden(self._tokenizer, vocabulary),
            **(sampling if config.temperature > 0 else {"do_sample": False}),
        )

    def _inputs(self, item: EncodedComparison, blank: bool) -> dict[str, Tensor]:
        """What Transformers reads: [B, L], and the pictures of each branch, those of the prefix once more for each."""
        device = self._model.device
        rows = [[*item.prefix_ids.tolist(), *ids.tolist()] for ids in item.response_ids]
        longest = max(map(len, rows))
        padded = torch.tensor([[self._end] * (longest - len(row)) + row for row in rows], device=device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
        inputs = {"input_ids": padded, "attention_mask": mask}
        if not item.images:
            return inputs
        is_image, is_video = padded == self._tokenizer.image_token, padded == self._tokenizer.video_token
        inputs["mm_token_type_ids"] = is_image.int() + 2 * is_video.int()
        in_prefix, *in_branches = spans_of_parts(item, (self._tokenizer.image_token, self._tokenizer.video_token))
        spans = [span for branch in in_branches for span in (*in_prefix, *branch)]
        videos = [span for span in spans if isinstance(span, EncodedVideo)]
        for kind, shown in (("image", [span for span in spans if span not in videos]), ("video", videos)):
            inputs |= self._pictures(shown, kind, blank)
        if videos and self._model.family.model_type == "qwen2_5_vl":
            inputs["second_per_grid_ts"] = torch.tensor([span.seconds_per_step for span in videos], device=device)
        return inputs

    def _pictures(self, spans: Sequence[VisionSpan], kind: str, blank: bool) -> dict[str, Tensor]:
        if not spans:
            return {}
        device, dtype = self._model.device, self._model.backbone.dtype
        pixels = torch.cat([torch.from_numpy(patches_of(span, blank=blank)) for span in spans]).to(dtype)
        grid = torch.tensor([span.grid for span in spans], device=device)
        name = "pixel_values" if kind == "image" else "pixel_values_videos"
        return {name: pixels.to(device), f"{kind}_grid_thw": grid}

    @contextmanager
    def _own_attention(self) -> Iterator[None]:
        """The backbone attends as Transformers does: no row of ours is run."""
        backbone: Any = self._model.backbone
        config = self._model.family.decoder(backbone).config
        packed = config._attn_implementation
        config._attn_implementation = "sdpa"
        try:
            yield
        finally:
            config._attn_implementation = packed
            backbone.rope_deltas = None


class _Until(StoppingCriteria):
    """Stops nothing: raises once it is too late, so that no cut text is taken for a whole one."""

    def __init__(self, until_s: float | None) -> None:
        self._until_s = until_s

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # noqa: ARG002  # as Transformers calls it
        check_time(self._until_s)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers of the block are of `seed`, and the state before comes back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
