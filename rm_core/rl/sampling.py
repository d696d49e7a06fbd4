"""n answers of a policy to each prompt, with their rewards: for best-of-n, and as preferences of its own.

The same prompt gets the same answers, whatever is asked beside it or was asked before.
"""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from data_pipeline.media import decode_rgb
from rm_core.model_folder.folder import sees_images
from rm_core.rl.config import RlConfig
from rm_core.rl.judging import Agreement
from rm_core.rl.policy import load_policy, load_processor, never_written, tokenizer_of
from rm_core.rl.prompts import Prompt, as_texts
from rm_core.rl.rewards import AskedGroup, reward_kind
from rm_core.rl.scoring import Group, RowScorer

__all__ = ["Sampled", "Sampler", "samples_row"]


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Answers to one prompt, the first one written first.

    Attributes:
        rewards: one an answer.
        right: whether the rule finds it right.
        scored: False: the reward model refuses it.
        tokens: that were written, of all answers.
        seconds: that writing them took.
    """

    answers: tuple[str, ...]
    rewards: tuple[float, ...]
    right: tuple[bool, ...]
    scored: tuple[bool, ...]
    tokens: int
    seconds: float


class Sampler:
    """Writes and scores.

    Args:
        config: of the recipe; `sample.number` answers to each prompt.
        policy: a local folder.
        scorer: asks the reward model; None for a rule.
        agreement: as for `reward_kind`.
    """

    def __init__(
        self, config: RlConfig, policy: str, scorer: RowScorer | None, agreement: Agreement | None = None
    ) -> None:
        self._config = config
        self._pictures = sees_images(policy)
        self._processor: Any = load_processor(policy)
        self._tokenizer = tokenizer_of(self._processor)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model: Any = load_policy(policy, config.precision).eval().to(self._device)
        self._kind = reward_kind(config.reward, scorer, agreement)
        self._generation = GenerationConfig(
            do_sample=True,
            temperature=config.temperature,
            top_k=0,
            max_new_tokens=config.max_answer_tokens,
            num_return_sequences=config.sample.number,
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=self._tokenizer.pad_token_id,
            suppress_tokens=never_written(self._model, self._tokenizer),
        )

    def sample(self, prompts: Sequence[Prompt]) -> list[Sampled]:
        """Answers to each prompt, with their rewards."""
        written = [self._written(one) for one in prompts]
        groups = [
            AskedGroup(group=Group(turns=one.turns, images=one.images, answers=answers), reference=one.answers[0])
            for one, (answers, _, _) in zip(prompts, written, strict=True)
        ]
        return [
            Sampled(
                answers=tuple(answers),
                rewards=tuple(worth.reward for worth in own),
                right=tuple(worth.right for worth in own),
                scored=tuple(worth.scored for worth in own),
                tokens=tokens,
                seconds=seconds,
            )
            for (answers, tokens, seconds), own in zip(written, self._kind(groups), strict=True)
        ]

    def _written(self, prompt: Prompt) -> tuple[list[str], int, float]:
        began_s = time.monotonic()
        inputs = self._inputs(prompt)
        length = inputs["input_ids"].shape[1]
        with (
            torch.inference_mode(),
            torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []),
        ):
            torch.manual_seed((int(prompt.key[:15], 16) + self._config.seed) % 2**63)
            found = self._model.generate(**inputs, generation_config=self._generation)[:, length:].tolist()
        end = self._tokenizer.eos_token_id
        kept = [ids[: ids.index(end)] if end in ids else ids for ids in found]
        answers = [text.strip() for text in self._tokenizer.batch_decode(kept, skip_special_tokens=True)]
        tokens = sum(len(own) + (end in ids) for own, ids in zip(kept, found, strict=True))
        return answers, tokens, time.monotonic() - began_s

    def _inputs(self, prompt: Prompt) -> dict[str, Any]:
        """What Transformers reads of one prompt."""
        turns = _with_pictures(prompt) if self._pictures else as_texts(prompt.turns)
        made = self._processor.apply_chat_template(
            [turns], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        return {name: value.to(self._device) for name, value in made.items()}


def _with_pictures(prompt: Prompt) -> list[dict[str, Any]]:
    images = iter(map(decode_rgb, prompt.images))
    return [
        {
            "role": turn["role"],
            "content": [
                {"type": "image", "image": next(images)} if part["type"] == "image" else part
                for part in turn["content"]
            ],
        }
        for turn in prompt.turns
    ]


def samples_row(prompt: Prompt, sampled: Sampled, keep: str) -> dict[str, Any]:
    """A line of ``samples.jsonl``: a record of shape ``jsonl`` that preprocessing reads as preferences.

    Answers that are said twice stand there once, with the reward of the first; empty ones do not stand there.

    Args:
        keep: as `SampleConfig.keep`; ``kept`` has these answers, the best first.
    """
    responses: dict[str, dict[str, Any]] = {}
    for text, reward, right, scored in zip(
        sampled.answers, sampled.rewards, sampled.right, sampled.scored, strict=True
    ):
        if text:
            responses.setdefault(text, {"text": text, "score": reward, "right": right, "scored": scored})
    ranked = sorted(responses.values(), key=lambda one: -one["score"])
    kept = [one["text"] for one in ranked if one["scored"] and (one["right"] or keep != "right")]
    return {
        **_asked(prompt),
        "responses": list(responses.values()),
        "kept": kept if keep == "all" else kept[:1],
        "reference": prompt.answers[0],
        "tokens": sampled.tokens,
        "seconds": round(sampled.seconds, 4),
    }


def _asked(prompt: Prompt) -> dict[str, Any]:
    images = [f"data:image/*;base64,{base64.b64encode(data).decode()}" for data in prompt.images]
    return {"id": prompt.key[:32], "prompt": prompt.turns, **({"image": images} if images else {})}
