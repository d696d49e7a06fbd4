"""Comparisons as a person reads them: pictures, prompt, ranked answers, and what a model gave them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from data_pipeline.inspection.samples import Picture, Sample, SamplePart, SampleResponse, SampleTurn
from jobs.pages.formats import signed

__all__ = ["MessageView", "SampleView", "Tag", "sample_view"]

_MAX_TURNS = 16
_MAX_RESPONSES = 12


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A short remark in a frame."""

    text: str
    is_cut: bool = False
    """Whether something was cut away."""


@dataclass(frozen=True, kw_only=True)
class MessageView:
    """A turn of the prompt or a response."""

    style: str
    """Classes of the style sheet."""
    heading: str
    facts: Sequence[str]
    """Behind the heading."""
    tag: Tag | None
    blocks: Sequence[str | list[Picture]]
    """Texts, and runs of pictures."""


@dataclass(frozen=True, kw_only=True)
class SampleView:
    """One Comparison; a text among the messages stands for what is left out."""

    id: str
    prompt_tokens: int | None
    tags: Sequence[Tag]
    messages: Sequence[MessageView | str]


def sample_view(one: Sample, rewards: Sequence[float] = ()) -> SampleView:
    """What a page shows of `one`: at most 16 turns and 12 responses; `rewards`: of its responses, where a model has."""
    shown = one.turns if len(one.turns) <= _MAX_TURNS else (*one.turns[:2], *one.turns[2 - _MAX_TURNS :])
    messages: list[MessageView | str] = [_turn(turn) for turn in shown]
    if len(shown) < len(one.turns):
        messages.insert(2, f"… {len(one.turns) - len(shown)} turns between are not shown …")
    given = [None] * len(one.responses) if not rewards else list(rewards)
    answers = list(zip(one.responses, given, strict=True))
    messages += [_response(response, reward) for response, reward in answers[:_MAX_RESPONSES]]
    if len(one.responses) > _MAX_RESPONSES:
        messages.append(f"… and {len(one.responses) - _MAX_RESPONSES} more responses")
    return SampleView(id=one.id, prompt_tokens=one.prompt_tokens, tags=_tags(one), messages=messages)


def _tags(one: Sample) -> list[Tag]:
    tags = [Tag(text=one.source), *([Tag(text=_split(one))] if one.split else [])]
    if dropped := sum(turn.dropped for turn in one.turns):
        tags.append(Tag(text=f"{dropped} oldest {'turn' if dropped == 1 else 'turns'} cut", is_cut=True))
    if cut := sum(response.tokens != response.whole_tokens for response in one.responses):
        tags.append(Tag(text=f"{cut} {'response' if cut == 1 else 'responses'} cut", is_cut=True))
    parts = [part for turn in one.turns for part in turn.parts]
    parts += [part for response in one.responses for part in response.parts]
    if any(isinstance(part, Picture) and part.resized for part in parts):
        tags.append(Tag(text="resized in the shard"))
    return tags


def _split(one: Sample) -> str:
    if one.split != "train":
        return "held out"
    return "train" if one.repeats == 1 else f"train, {one.repeats} times an epoch"


def _turn(turn: SampleTurn) -> MessageView:
    names = ["turn", *(["system"] if turn.role == "system" else []), *(["dropped"] if turn.dropped else [])]
    tag = Tag(text="cut to fit the token limit", is_cut=True) if turn.dropped else None
    return MessageView(style=" ".join(names), heading=turn.role, facts=(), tag=tag, blocks=_blocks(turn.parts))


def _response(response: SampleResponse, reward: float | None) -> MessageView:
    return MessageView(
        style="response best" if response.rank == 0 else "response",
        heading=f"rank {response.rank}",
        facts=[
            *([] if reward is None else [f"reward {signed(reward, 2)}"]),
            *([] if response.score is None else [f"score {response.score:g}"]),
            _length(response),
        ],
        tag=None,
        blocks=[*_blocks(response.parts), *([f"\n\nCritique: {response.critique}"] if response.critique else [])],
    )


def _length(response: SampleResponse) -> str:
    if response.tokens is None or response.whole_tokens is None:
        return f"{response.num_chars:,} characters"
    if response.tokens < response.whole_tokens:
        return f"first {response.tokens - 1:,} of {response.whole_tokens - 1:,} tokens, and the closing one"
    return f"{response.tokens:,} tokens"


def _blocks(parts: Sequence[SamplePart]) -> list[str | list[Picture]]:
    """Pictures side by side as one block, and the texts between them."""
    blocks: list[str | list[Picture]] = []
    for is_picture, run in groupby(parts, lambda part: isinstance(part, Picture)):
        found = list(run)
        if is_picture:
            blocks.append([part for part in found if isinstance(part, Picture)])
        else:
            blocks.append("".join(part for part in found if isinstance(part, str)))
    return blocks
