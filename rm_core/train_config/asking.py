"""What a training asks a judge about its data: from the recipe, the tokenizer of the model, and how data were read."""

from functools import lru_cache

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.questions import Asking, question_tokens
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, tokenizer_fingerprint
from rm_core.train_config.config import TrainConfig

__all__ = ["asking_of"]


def asking_of(config: TrainConfig, encode: EncodeConfig, *, evaluates: bool = False) -> Asking | None:
    """Which questions are asked about prepared Comparisons; None: the model is no judge, and reads answers.

    Args:
        encode: how the Comparisons were read.
        evaluates: ask about every pair in both orders, as wherever a trained judge scores; else as
            `GenerativeConfig.orders` says, or the records' reasonings.

    Raises:
        MissingInput: the model's folder holds no tokenizer.
        RecipeError: as `question_tokens`.
    """
    if config.paradigm != "generative":
        return None
    tokenizer = _tokenizer(config.model, tokenizer_fingerprint(config.model))
    tokens = question_tokens(tokenizer, config.generative.asked, encode)
    orders = "given" if config.generative.form == "reasoning" else config.generative.orders
    return Asking(tokens, "all" if evaluates else orders)


@lru_cache(maxsize=1)
def _tokenizer(folder: str, _fingerprint: str) -> ChatTokenizer:
    """Parsed once: a training asks for the plan, for what each set is evaluated on, and for its rows."""
    return load_tokenizer(folder)
