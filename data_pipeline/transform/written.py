"""What a recipe says about texts that somebody wrote about answers: critiques, and reasonings about two of them."""

from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.errors import RecipeError

__all__ = ["check_written"]


def check_written(config: PreprocessConfig) -> None:
    """Refuse what would cut such texts, or lose some of them.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    _check_critiques(config)
    _check_reasonings(config)


def _check_critiques(config: PreprocessConfig) -> None:
    """Refuse what would cut critiques, or lose some of them."""
    if config.encode.critiques == "none":
        if config.encode.critique_prompt != EncodeConfig().critique_prompt:
            raise RecipeError(
                "preprocess.encode.critique_prompt is read where critiques are: leave it out, or set "
                "preprocess.encode.critiques=given"
            )
        return
    if config.encode.answer_end == "line_break":
        raise RecipeError(
            "preprocess.encode.critiques='given' ends where the model stops to write, and "
            "preprocess.encode.answer_end='line_break' one token later: set answer_end=end_of_turn"
        )
    if config.rules.truncate == "responses":
        raise RecipeError(
            "preprocess.rules.truncate='responses' would cut critiques off, and preprocess.encode.critiques='given' "
            "asks for them: set truncate=turns or nothing"
        )
    if config.group_prompts:
        raise RecipeError(
            "preprocess.group_prompts=true makes equal answers one, whose critiques may differ: set it to false, or "
            "preprocess.encode.critiques=none"
        )


def _check_reasonings(config: PreprocessConfig) -> None:
    """Refuse what would cut answers that reasonings are about, or lose some reasonings."""
    if config.encode.reasonings == "none":
        return
    others = {
        "preprocess.encode.critiques='given' is for critics": config.encode.critiques == "given",
        "preprocess.rules.truncate='responses' would cut answers": config.rules.truncate == "responses",
        "preprocess.group_prompts=true makes equal answers one": config.group_prompts,
    }
    for what, is_set in others.items():
        if is_set:
            raise RecipeError(
                f"{what}, and preprocess.encode.reasonings='given' keeps what is said about each pair of a record's "
                "answers: leave one of them out"
            )
