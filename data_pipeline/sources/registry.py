"""The one table of record shapes. A new shape is one adapter file and one line here."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.adapters import (
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
    ultrafeedback,
    vl_rewardbench,
    vlfeedback,
    wildvision,
)
from data_pipeline.sources.parsing import fields

__all__ = ["SHAPES", "Adapter", "adapter_of"]

Adapter = Callable[[Mapping[str, Any], SourceConfig, int], Comparison | Sequence[Comparison]]
"""(raw record, its source, its row number from 0) -> one Comparison, or the several that the record holds; raises
RecordError where nothing can be made of it."""

SHAPES: dict[str, Adapter] = {
    "jsonl": jsonl.to_comparison,
    "rlaif_v": rlaif_v.to_comparison,
    "vlfeedback": vlfeedback.to_comparison,
    "ultrafeedback": ultrafeedback.to_comparison,
    "hh_rlhf": hh_rlhf.to_comparison,
    "messages": messages.to_comparison,
    "skywork": messages.to_comparison,
    "shp": shp.to_comparison,
    "swe_arena": swe_arena.to_comparison,
    "oasst": oasst.to_comparisons,
    "fine_grained": fine_grained.to_comparisons,
    "helpsteer3": helpsteer3.to_comparison,
    "pku_saferlhf": pku_saferlhf.to_comparison,
    "pairwise_labels": pairwise_labels.to_comparison,
    "rewardbench": rewardbench.to_comparison,
    "rm_bench": rm_bench.to_comparison,
    "vl_rewardbench": vl_rewardbench.to_comparison,
    "mm_rlhf": mm_rlhf.to_comparison,
    "sharegpt": sharegpt.to_comparison,
    "mmif": sharegpt.to_comparison,
    "multimodal_rewardbench": multimodal_rewardbench.to_comparison,
    "mmpr": mmpr.to_comparison,
    "rlhf_v": rlhf_v.to_comparison,
    "povid": povid.to_comparison,
    "omnialign_v": omnialign_v.to_comparison,
    "imagereward": imagereward.to_comparison,
    "r1_reward": r1_reward.to_comparison,
    "wildvision_battles": wildvision.battle_to_comparison,
    "wildvision_votes": wildvision.votes_to_comparisons,
    "llava_critic": llava_critic.to_comparison,
    "llava_rlhf": llava_rlhf.to_comparison,
    "mdpo": mdpo.to_comparison,
}


def adapter_of(shape: str) -> Adapter:
    """The adapter of a record shape; fields that are null are absent for it.

    Raises:
        MissingInput: there is no such shape; the message names the nearest.
    """
    if shape in SHAPES:
        adapter = SHAPES[shape]
        return lambda record, source, row: adapter(fields.without_nulls(record), source, row)
    near = difflib.get_close_matches(shape, SHAPES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "use jsonl with a field map for a set of your own"
    raise MissingInput(f"unknown record shape {shape!r}: {hint} (known: {', '.join(SHAPES)})")
