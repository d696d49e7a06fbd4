"""A judge with random weights, as a training would have left it, and a writer that says what a test wants."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.encoding.encoded import EncodedComparison
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer
from data_pipeline.records.comparison import Comparison, Response, Turn
from rm_core.generation.interface import Written
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.language_head import LanguageHead
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.model_folder.folder import save_reward_model

ENCODE = EncodeConfig(system_prompt="S")
QUESTION = "{first} or {second}?"


def write_judge(
    folder: Path,
    tokenizer: Path,
    form: str = "reasoning",
    weights: Mapping[str, torch.Tensor] | None = None,
    encode: EncodeConfig = ENCODE,
) -> str:
    """A complete folder, of a model that reads records by `encode` and the tokenizer of `tokenizer`.

    Args:
        weights: of its backbone; None: random ones.
    """
    known = load_tokenizer(str(tokenizer))
    config = backbone_config("nano", vocab_size=known.vocab_size, special_ids=dict(known.special_ids))
    config.tie_word_embeddings = True
    backbone = new_backbone(config, seed=0, dtype=torch.float32)
    if weights is not None:
        backbone.load_state_dict(weights)
    model = RewardModel(backbone, HeadConfig(), LanguageHead(backbone.get_input_embeddings().weight), judges=True)
    save_reward_model(
        str(folder), backbone, model.head_config, model.named_parameters(), processor_from=str(tokenizer), lineage={},
        reading=Reading.of_config(PreprocessConfig(encode=encode), known.fingerprint), paradigm="generative",
        question=QUESTION, form=form,
    )  # fmt: skip
    return str(folder)


def answers(tokenizer: ChatTokenizer, *texts: str) -> EncodedComparison:
    """A Comparison with these answers."""
    made = Comparison(
        id="x", source="s", prompt=(Turn("user", ("Which?",)),),
        responses=tuple(Response((text,), 0) for text in texts),
    )  # fmt: skip
    return Encoder(tokenizer, ENCODE).encode(made, [])


class ScriptedWriter:
    """A `Writer` of what `say` gives for the two answers of each question.

    Args:
        say: of the first and the second answer, the texts; one that ends in ``...`` was cut.
    """

    def __init__(self, tokenizer: ChatTokenizer, say: Callable[[str, str], Sequence[str]]) -> None:
        self._tokenizer = tokenizer
        self._say = say
        self.asked: list[tuple[str, str]] = []

    def write(
        self, item: EncodedComparison, *, blank: bool = False, until_s: float | None = None
    ) -> list[list[Written]]:
        return [[_written(text) for text in self._say(*self._answers(ids.tolist()))] for ids in item.response_ids]

    def _answers(self, ids: list[int]) -> tuple[str, str]:
        first, _, rest = self._tokenizer.decode(ids).partition(" or ")
        self.asked.append((first, rest.partition("?")[0]))
        return self.asked[-1]


def _written(text: str) -> Written:
    return Written(text=text, tokens=len(text.split()), ended=not text.endswith("..."))
