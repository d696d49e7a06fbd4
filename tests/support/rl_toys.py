"""Prompts with pictures and answers, a policy that writes, and reward models that count, for reinforcement learning."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from prepared_toys import scene

from data_pipeline.config import EncodeConfig, MediaConfig, PreprocessConfig, SourceConfig
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from rm_core.model.config import InitModelConfig
from rm_core.model_folder.initialise import initialise_model
from rm_core.rl.prompts import Prompt, PromptReader, Prompts
from rm_core.rl.scoring import Row, RowReward

TEXTS = ["Which colour is it? It is red. It is blue. Name the colour of the left one, please: green or white."]


def write_prompts(folder: Path, count: int = 6) -> SourceConfig:
    """A file of questions of shape ``answered``, every second one with a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        line = {"prompt": f"Which colour is number {number}?", "answer": ("red", "blue")[number % 2]}
        if number % 2:
            (folder / f"{number}.png").write_bytes(scene(number))
            line["image"] = f"{number}.png"
        lines.append(json.dumps(line))
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    return SourceConfig(name="toy", shape="answered", path=str(folder / "prompts.jsonl"))


def write_policy_folder(folder: Path, shape: str = "nano", *, language_head: bool = True) -> str:
    """A tiny language model with a tokenizer of its own."""
    train_tokenizer(TEXTS, 300, str(folder / "tokens"))
    output = str(folder / "policy")
    model = InitModelConfig(output=output, shape=shape, tokenizer=str(folder / "tokens"), language_head=language_head)
    initialise_model(model, PreprocessConfig(), train_tokenizer=lambda folder: None)
    return output


def read(*sources: SourceConfig, tokens: str, pictures: bool = True) -> Prompts:
    encoder = Encoder(load_tokenizer(tokens), EncodeConfig())
    return PromptReader("/", MediaConfig(), encoder, 400, pictures=pictures).read(sources)


def prompt(text: str = "Which colour?", answers: Sequence[str] = ("red",)) -> Prompt:
    turns = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    return Prompt(key="0" * 64, turns=turns, images=(), answers=tuple(answers))


class Counting:
    """A `RowScorer` that gives `value` of each answer, and refuses rows with one for which `refuses` says so."""

    def __init__(
        self, value: Callable[[str], float] = len, refuses: Callable[[str], bool] = lambda text: False
    ) -> None:
        self.asked: list[Row] = []
        self._value = value
        self._refuses = refuses

    def score(self, rows: Sequence[Row]) -> list[RowReward | None]:
        self.asked += rows
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> RowReward | None:
        answers = row["responses"]
        if any(map(self._refuses, answers)):
            return None
        return RowReward(rewards=[float(self._value(one)) for one in answers], spread=[0.5] * len(answers))
