"""The one table of record shapes. A new shape is one adapter file and one line here."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from data_pipeline.comparison import Comparison
from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput
from data_pipeline.sources import hh_rlhf, jsonl, rlaif_v, ultrafeedback, vlfeedback

__all__ = ["SHAPES", "Adapter", "adapter_of"]

Adapter = Callable[[Mapping[str, Any], SourceConfig, int], Comparison]
"""(raw record, its source, its row number from 0) -> Comparison; raises RecordError."""

SHAPES: dict[str, Adapter] = {
    "jsonl": jsonl.to_comparison,
    "rlaif_v": rlaif_v.to_comparison,
    "vlfeedback": vlfeedback.to_comparison,
    "ultrafeedback": ultrafeedback.to_comparison,
    "hh_rlhf": hh_rlhf.to_comparison,
}


def adapter_of(shape: str) -> Adapter:
    """The adapter of a record shape.

    Raises:
        MissingInput: there is no such shape; the message names the nearest.
    """
    if shape in SHAPES:
        return SHAPES[shape]
    near = difflib.get_close_matches(shape, SHAPES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "use jsonl with a field map for a set of your own"
    raise MissingInput(f"unknown record shape {shape!r}: {hint} (known: {', '.join(SHAPES)})")
