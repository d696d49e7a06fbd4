"""Bodies of requests and answers, as the OpenAPI page shows them.

Score*      ours: one Comparison
Reward*     OpenRLHF's remote reward model: ``{"query": [...], "prompts": [...]}`` -> ``{"rewards": [...]}``
Classify*   vLLM's ``/classify``; a reward stands where a class's probability does
Pair*       vLLM's ``/v1/score``: pairs of a prompt and an answer
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ClassifyAnswer", "ClassifyRequest", "ClassifyResult", "ErrorAnswer", "PairAnswer", "PairRequest", "PairResult",
    "RewardAnswer", "RewardRequest", "ScoreAnswer", "ScoreRequest", "Turn", "Usage", "Verdicts",
]  # fmt: skip

_IMAGES = "A base64 data URL (data:image/png;base64,...), or a list of them, for the places of images."


class _Strict(BaseModel):
    """A field that is not known is refused: it may be a misspelt one."""

    model_config = ConfigDict(extra="forbid")


class Turn(_Strict):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str | list[dict[str, Any]] = Field(description="A text, or parts of type text, image or image_url.")


class ScoreRequest(_Strict):
    """A Comparison: one prompt and its responses."""

    prompt: str | list[Turn] = Field(description="A text, or the turns of a chat, the last of them the user's.")
    responses: list[str] = Field(min_length=1, description="The answers to that prompt.")
    images: str | list[str] | None = Field(None, description=_IMAGES)
    critiques: list[str] | None = Field(
        None, description="One of each response, for a critic to read in place of its own."
    )


class Verdicts(BaseModel):
    """What a judge that reasons wrote about two responses in one order."""

    first: int = Field(description="Place of the response that it was shown first, from 0.")
    second: int = Field(description="Of the other one.")
    said: list[int | None] = Field(description="Of each text, 1 or 2; null: it has no verdict that can be read.")
    texts: list[str]


class ScoreAnswer(BaseModel):
    """What a Comparison gets."""

    rewards: list[float] = Field(description="One a response, in their order; higher is better.")
    spread: list[float] = Field(description="Standard deviation over the members of an ensemble that read it.")
    probability: float | None = Field(description="That the first of two responses is the better one.")
    model: str = Field(description="The address of the model that gave them.")
    critiques: list[list[str]] = Field(description="What critics wrote of each response; empty where none did.")
    critique_tokens: int = Field(description="Tokens of these.")
    verdicts: list[Verdicts] = Field(description="What judges that reason wrote; empty where none did.")
    verdict_tokens: int = Field(description="Tokens of these.")
    verdicts_unread: int = Field(description="Texts of these without a verdict that can be read.")


class RewardRequest(BaseModel):
    """OpenRLHF's, with images; its other fields, such as labels, mean nothing here."""

    query: list[str] = Field(min_length=1, description="Prompt and answer in one text, with the marks of a chat.")
    prompts: list[str] | None = Field(None, description="What each query begins with; needed where it has no marks.")
    images: list[str | list[str] | None] | None = Field(None, description=f"One for each query. {_IMAGES}")


class RewardAnswer(BaseModel):
    """OpenRLHF's."""

    rewards: list[float]
    model: str
    critique_tokens: int = Field(description="Tokens that critics wrote.")
    verdict_tokens: int = Field(description="Tokens that judges wrote.")
    verdicts_unread: int = Field(description="Texts of judges without a verdict that can be read.")


class ClassifyRequest(BaseModel):
    """vLLM's: texts, or one chat whose last turn is the answer."""

    model: str | None = None
    input: str | list[str] | None = Field(None, description="Prompt and answer in one text, with the marks of a chat.")
    messages: list[Turn] | None = Field(None, description="A chat that ends with the assistant's answer.")
    use_activation: bool | None = Field(None, description="true: sigmoid of the reward; else the reward itself.")


class Usage(BaseModel):
    """vLLM's."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0


class ClassifyResult(BaseModel):
    """vLLM's."""

    index: int
    label: str | None = None
    probs: list[float]
    num_classes: int = 1


class ClassifyAnswer(BaseModel):
    """vLLM's."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[ClassifyResult]
    usage: Usage


class PairRequest(BaseModel):
    """vLLM's: prompts and answers; one prompt stands for all answers."""

    model: str | None = None
    queries: str | list[str] | None = Field(None, description="Prompts; text_1 is the same.")
    documents: str | list[str] | None = Field(None, description="Answers; text_2 is the same.")
    text_1: str | list[str] | None = None
    text_2: str | list[str] | None = None
    use_activation: bool | None = Field(None, description="true: sigmoid of the reward; else the reward itself.")


class PairResult(BaseModel):
    """vLLM's."""

    index: int
    object: Literal["score"] = "score"
    score: float


class PairAnswer(BaseModel):
    """vLLM's."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[PairResult]
    usage: Usage


class ErrorDetail(BaseModel):
    """Why there is no answer."""

    type: str = Field(description="A word that stays, such as too_long.")
    message: str


class ErrorAnswer(BaseModel):
    """An answer that is none."""

    error: ErrorDetail
