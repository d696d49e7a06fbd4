"""A judge that has learnt the form of a verdict, and nothing of what is better: most of its texts can be read.

Taught with Transformers' own loss, on questions about words drawn at random, so that what it writes is sampled from a
model's weights: some verdicts for the first answer, some for the other, some texts that are none.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from judge_toys import write_judge

from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.judge_format import CLOSING, reasoned
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.records.comparison import Comparison, Response, Turn
from rm_core.generation.config import VerdictsConfig
from rm_core.generation.interface import END
from rm_core.generation.transformers_writer import TransformersWriter
from rm_core.model_folder.folder import load_reward_model
from rm_core.model_folder.reading import reading_of
from rm_core.scoring.scorer import asking_in

STEPS, QUESTIONS, LEARNING_RATE = 40, 4, 5e-3
_IGNORED = -100


def write_taught_judge(folder: Path, tokenizer: Path, words: Sequence[str]) -> str:
    """A complete folder, of a judge that reasons; `words` are those of its questions."""
    first = write_judge(folder.with_name(f"{folder.name}-untaught"), tokenizer)
    model = load_reward_model(first, dtype=torch.float32)
    writer = TransformersWriter(model, load_tokenizer(first), VerdictsConfig())
    questions = _Questions(first, words)
    optimizer = torch.optim.AdamW(model.backbone.parameters(), lr=LEARNING_RATE)
    with writer._own_attention():
        for _ in range(STEPS):
            loss = writer._language_model(**questions.batch()).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return write_judge(folder, tokenizer, weights=model.backbone.state_dict())


class _Questions:
    """Questions about two answers, and a verdict that is drawn."""

    def __init__(self, folder: str, words: Sequence[str]) -> None:
        self._words, self._drawn = words, random.Random(0)
        self._tokenizer, self._asking = load_tokenizer(folder), asking_in(folder)
        reading = reading_of(folder)
        assert reading is not None
        self._encoder = Encoder(self._tokenizer, reading.encode)

    def batch(self) -> dict[str, torch.Tensor]:
        """What Transformers learns from, filled up on the left."""
        rows = [self._one() for _ in range(QUESTIONS)]
        longest = max(len(asked) + len(text) for asked, text in rows)
        blank = [longest - len(asked) - len(text) for asked, text in rows]
        ids = [[0] * gap + asked + text for gap, (asked, text) in zip(blank, rows, strict=True)]
        mask = [[0] * gap + [1] * (longest - gap) for gap in blank]
        labels = [[_IGNORED] * (longest - len(text)) + text for _, text in rows]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "labels": torch.tensor(labels)}

    def _one(self) -> tuple[list[int], list[int]]:
        texts = [" ".join(self._drawn.choices(self._words, k=self._drawn.randint(1, 6))) for _ in range(3)]
        made = Comparison(
            id="x", source="s", prompt=(Turn("user", (texts[0],)),),
            responses=tuple(Response((text,), 0) for text in texts[1:]),
        )  # fmt: skip
        asked = self._asking(self._encoder.encode(made, []))
        written = f"{reasoned('so')}{self._drawn.choice('12')}{CLOSING}"
        target = [*self._tokenizer.encode(written), self._tokenizer.special_ids[END]]
        return [*asked.prefix_ids.tolist(), *asked.response_ids[0].tolist()], target
