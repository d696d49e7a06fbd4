"""The part of the page that shows Comparisons as a person reads them: pictures, prompt, ranked answers."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

from data_pipeline.inspection.samples import Picture, Sample, SamplePart, SampleResponse, SampleTurn

__all__ = ["samples_section"]

_MAX_TURNS = 16
_MAX_RESPONSES = 12


def samples_section(samples: Sequence[Sample], kept: int) -> str:
    """The samples as HTML; nothing where none was asked for."""
    if not samples:
        return ""
    cards = "".join(_sample(one) for one in samples)
    note = (
        f"{len(samples):,} of {kept:,} kept Comparisons, chosen by chance, the same number of each source. Rank 0 is "
        "best. Long texts are shortened here, not in the data; hover over a picture for its size."
    )
    return (
        f'<section class="wide" id="samples"><h2>Comparisons to look at</h2><p class="note">{note}</p></section>'
        f'<div class="samples">{cards}</div>'
    )


def _sample(one: Sample) -> str:
    tags = f'<span class="tag">{escape(one.source)}</span><span class="tag">{escape(_split(one))}</span>'
    if dropped := sum(turn.dropped for turn in one.turns):
        tags += f'<span class="tag cut">{dropped} oldest {"turn" if dropped == 1 else "turns"} cut</span>'
    if cut := sum(response.tokens < response.whole_tokens for response in one.responses):
        tags += f'<span class="tag cut">{cut} {"response" if cut == 1 else "responses"} cut</span>'
    if any(picture.resized for picture in _pictures(one)):
        tags += '<span class="tag">resized in the shard</span>'
    shown = one.turns if len(one.turns) <= _MAX_TURNS else (*one.turns[:2], *one.turns[2 - _MAX_TURNS :])
    turns = [_turn(turn) for turn in shown]
    if len(shown) < len(one.turns):
        turns.insert(2, f'<p class="note">… {len(one.turns) - len(shown)} turns between are not shown …</p>')
    responses = [_response(response) for response in one.responses[:_MAX_RESPONSES]]
    if len(one.responses) > _MAX_RESPONSES:
        responses.append(f'<p class="note">… and {len(one.responses) - _MAX_RESPONSES} more responses</p>')
    return (
        f'<section class="sample"><header><strong>{escape(one.id)}</strong>{tags}'
        f"<small>prompt {one.prompt_tokens:,} tokens</small></header>{''.join(turns)}{''.join(responses)}</section>\n"
    )


def _split(one: Sample) -> str:
    if one.split != "train":
        return "held out"
    return "train" if one.repeats == 1 else f"train, {one.repeats} times an epoch"


def _pictures(one: Sample) -> list[Picture]:
    parts = [part for turn in one.turns for part in turn.parts]
    parts += [part for response in one.responses for part in response.parts]
    return [part for part in parts if isinstance(part, Picture)]


def _turn(turn: SampleTurn) -> str:
    styles = " ".join(["turn", *(["system"] if turn.role == "system" else []), *(["dropped"] if turn.dropped else [])])
    note = '<span class="tag cut">cut to fit the token limit</span>' if turn.dropped else ""
    return _said(styles, f"<b>{escape(turn.role)}</b>{note}", turn.parts)


def _response(response: SampleResponse) -> str:
    score = "" if response.score is None else f"<span>score {response.score:g}</span>"
    tokens = f"{response.tokens:,} tokens"
    if response.tokens < response.whole_tokens:
        tokens = f"first {response.tokens - 1:,} of {response.whole_tokens - 1:,} tokens, and the closing one"
    who = f"<b>rank {response.rank}</b>{score}<span>{tokens}</span>"
    return _said("response best" if response.rank == 0 else "response", who, response.parts)


def _said(styles: str, who: str, parts: Sequence[SamplePart]) -> str:
    pictured = " pictured" if any(isinstance(part, Picture) for part in parts) else ""
    inner = ""
    for is_picture, run in groupby(parts, lambda part: isinstance(part, Picture)):
        shown = "".join(_picture(part) if isinstance(part, Picture) else escape(part) for part in run)
        inner += f'<div class="pictures">{shown}</div>' if is_picture else shown
    return f'<div class="{styles}{pictured}"><div class="who">{who}</div><div class="said">{inner}</div></div>'


def _picture(picture: Picture) -> str:
    told = escape(picture.told)
    if picture.data is None:
        return f'<span class="gone" title="{told}">image, left out: the page has no room for more</span>'
    return (
        f'<img src="data:image/jpeg;base64,{picture.data}" width="{picture.width}" height="{picture.height}" '
        f'alt="{told}" title="{told}">'
    )
