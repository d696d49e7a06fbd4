"""The one table of record shapes. A new shape is one adapter file and one line here."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import count
from typing import Any, NamedTuple

from data_pipeline.config import FieldMap, SourceConfig
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.accounting import Adapter, UnreadFields, accounted
from data_pipeline.sources.adapters import (
    answered,
    fine_grained,
    helpsteer3,
    hh_rlhf,
    imagereward,
    jsonl,
    llava_critic,
    llava_rlhf,
    mdpo,
    messages,
    mm_rlhf,
    mmpr,
    multimodal_rewardbench,
    oasst,
    omnialign_v,
    openai,
    pairwise_labels,
    pku_saferlhf,
    povid,
    r1_reward,
    rewardbench,
    rlaif_v,
    rlhf_v,
    rm_bench,
    sharegpt,
    shp,
    swe_arena,
    swift,
    trl,
    ultrafeedback,
    vl_rewardbench,
    vlfeedback,
    wildvision,
)
from data_pipeline.sources.fitting import OF_ANOTHER_SHAPE, advice

__all__ = ["MAX_ADVISED", "OF_WRITING", "SHAPES", "Shape", "adapter_of", "unranked_adapter"]

OF_WRITING = (
    *("critiques", "critique_tokens", "critiques_cut", "critique_seconds", "scoring_seconds"),
    *("verdicts", "verdict_tokens", "verdicts_cut", "verdicts_unread", "verdict_seconds"),
)
"""Fields of a line that a critic scored which wrote critiques, or a judge which reasoned."""
MAX_ADVISED = 20
"""Refusals of one adapter, so of one unit, that are looked at further; each takes fifty times as long as a record."""


class Shape(NamedTuple):
    """A record shape.

    Attributes:
        read: its adapter.
        irrelevant: the paths of its fields that mean nothing to a Comparison.
        unranked: reads a record that is only to be scored, and so needs no label; None: `read` does, labels and all.
    """

    read: Adapter
    irrelevant: tuple[str, ...] = ()
    unranked: Adapter | None = None


SHAPES: dict[str, Shape] = {
    "jsonl": Shape(jsonl.to_comparison, jsonl.IRRELEVANT, unranked=jsonl.to_unranked),
    "rlaif_v": Shape(rlaif_v.to_comparison, rlaif_v.IRRELEVANT),
    "vlfeedback": Shape(vlfeedback.to_comparison, vlfeedback.IRRELEVANT),
    "ultrafeedback": Shape(ultrafeedback.to_comparison, ultrafeedback.IRRELEVANT),
    "hh_rlhf": Shape(hh_rlhf.to_comparison),
    "messages": Shape(messages.to_comparison, messages.IRRELEVANT),
    "skywork": Shape(messages.to_comparison, messages.IRRELEVANT),
    "trl": Shape(trl.to_comparison, trl.IRRELEVANT),
    "swift": Shape(swift.to_comparison, swift.IRRELEVANT),
    "openai": Shape(openai.to_comparison, openai.IRRELEVANT),
    "shp": Shape(shp.to_comparison, shp.IRRELEVANT),
    "swe_arena": Shape(swe_arena.to_comparison, swe_arena.IRRELEVANT),
    "oasst": Shape(oasst.to_comparisons, oasst.IRRELEVANT),
    "fine_grained": Shape(fine_grained.to_comparisons, fine_grained.IRRELEVANT),
    "helpsteer3": Shape(helpsteer3.to_comparison, helpsteer3.IRRELEVANT),
    "pku_saferlhf": Shape(pku_saferlhf.to_comparison, pku_saferlhf.IRRELEVANT),
    "pairwise_labels": Shape(pairwise_labels.to_comparison, pairwise_labels.IRRELEVANT),
    "rewardbench": Shape(rewardbench.to_comparison, rewardbench.IRRELEVANT),
    "rm_bench": Shape(rm_bench.to_comparison, rm_bench.IRRELEVANT),
    "vl_rewardbench": Shape(vl_rewardbench.to_comparison, vl_rewardbench.IRRELEVANT),
    "mm_rlhf": Shape(mm_rlhf.to_comparison),
    "sharegpt": Shape(sharegpt.to_comparison, sharegpt.IRRELEVANT),
    "mmif": Shape(sharegpt.to_comparison, sharegpt.IRRELEVANT),
    "multimodal_rewardbench": Shape(multimodal_rewardbench.to_comparison, multimodal_rewardbench.IRRELEVANT),
    "mmpr": Shape(mmpr.to_comparison),
    "rlhf_v": Shape(rlhf_v.to_comparison, rlhf_v.IRRELEVANT),
    "povid": Shape(povid.to_comparison),
    "omnialign_v": Shape(omnialign_v.to_comparison),
    "imagereward": Shape(imagereward.to_comparison, unranked=imagereward.to_unranked),
    "r1_reward": Shape(r1_reward.to_comparison, r1_reward.IRRELEVANT),
    "wildvision_battles": Shape(wildvision.battle_to_comparison, wildvision.BATTLE_IRRELEVANT),
    "wildvision_votes": Shape(wildvision.votes_to_comparisons, wildvision.VOTES_IRRELEVANT),
    "llava_critic": Shape(llava_critic.to_comparison, llava_critic.IRRELEVANT),
    "llava_rlhf": Shape(llava_rlhf.to_comparison),
    "mdpo": Shape(mdpo.to_comparison),
    "answered": Shape(answered.to_comparison),
}


def adapter_of(shape: str, unread: UnreadFields | None = None, *, refuse_lost: bool = True) -> Adapter:
    """The adapter of a record shape. For it null is absent, and a field that it does not read is accounted for.

    Args:
        unread: counts the fields that are neither read nor known to mean nothing.
        refuse_lost: refuse a record that would lose a part of itself so; else that part is only counted.

    Raises:
        MissingInput: there is no such shape; the message names the nearest.
    """
    found = _shape(shape)
    return _advised(accounted(found.read, found.irrelevant, unread, refuse_lost=refuse_lost))


def unranked_adapter(
    names: FieldMap, unread: UnreadFields | None = None, *, shape: str = "jsonl"
) -> Callable[[Mapping[str, Any], SourceConfig, int], Comparison]:
    """The adapter of records that are to be scored, with the same account of their fields.

    Shapes that can do without do not ask for labels. What an earlier scoring added to a record means nothing, nor do
    the labels of its responses. A record that holds several Comparisons is refused (``several_comparisons``): what is
    written in its place has one list of rewards.

    Raises:
        MissingInput: there is no such shape; the message names the nearest.
    """
    found = _shape(shape)
    labels = (f"{names.responses}.{label}" for label in (names.score, names.rank)) if shape == "jsonl" else ()
    ours = ("rewards", "error", *OF_WRITING, *([names.reasonings] if shape == "jsonl" else []))
    adapter = accounted(found.unranked or found.read, (*found.irrelevant, *ours, *labels), unread)

    def read(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
        made = adapter(record, source, row)
        comparisons = [made] if isinstance(made, Comparison) else made
        if not comparisons:
            raise RecordError("no_comparison", f"row {row} holds no responses to one prompt")
        if len(comparisons) > 1:
            raise RecordError(
                "several_comparisons",
                f"row {row} holds {len(comparisons)} Comparisons of shape {shape}, and a line has one list of rewards: "
                "write a line for each, in shape jsonl",
            )
        return comparisons[0]

    return read


def _shape(name: str) -> Shape:
    if name in SHAPES:
        return SHAPES[name]
    near = difflib.get_close_matches(name, SHAPES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "use jsonl with a field map for a set of your own"
    raise MissingInput(f"unknown record shape {name!r}: {hint} (known: {', '.join(SHAPES)})")


def _advised(adapter: Adapter) -> Adapter:
    """The adapter, whose first refusals name the shape that would read the record: it is found by trying all."""
    tried = count()

    def read(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison | Sequence[Comparison]:
        try:
            return adapter(record, source, row)
        except RecordError as error:
            if error.reason not in OF_ANOTHER_SHAPE or next(tried) >= MAX_ADVISED:
                raise
            raise RecordError(error.reason, error.detail + advice(error, record, source, row, _adapters())) from error

    return read


@cache
def _adapters() -> dict[str, Adapter]:
    """Of every shape, with an account of the fields."""
    return {name: accounted(shape.read, shape.irrelevant) for name, shape in SHAPES.items()}
