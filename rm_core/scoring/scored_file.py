"""Scored Comparisons as one parquet file, ``scored.parquet``: what a comparison of two models and an ensemble read."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.errors import CorruptData, MissingInput
from data_pipeline.storage import exists, read_bytes, write_atomic
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.scoring.scored import ScoredComparison

__all__ = ["SCORED_FILE", "ScoredOrigin", "model_origin", "read_origin", "read_scored", "write_scored"]

SCORED_FILE = "scored.parquet"
_ORIGIN = b"basereward"
"""Key of the file's metadata under which its origin stands, as JSON."""
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("rewards", pa.list_(pa.float64()), nullable=False),
        pa.field("ranks", pa.list_(pa.int32()), nullable=False),
        pa.field("response_lengths", pa.list_(pa.int32()), nullable=False),
        pa.field("num_images", pa.int32(), nullable=False),
        pa.field("blank_rewards", pa.list_(pa.float64())),
        pa.field("group", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ScoredOrigin:
    """What was scored by what; files of one origin hold the same Comparisons in the same order."""

    data_fingerprint: str
    """Of the prepared data's manifest."""
    split: str
    """The part of it, all of which was scored."""
    model: str
    """What gave the rewards, as `model_origin` says."""


def model_origin(sha256: str, critiques: CritiquesConfig, verdicts: VerdictsConfig | None = None) -> str:
    """What tells a model's rewards from others: its weights, and how it writes where it does.

    Args:
        sha256: of its ``model.json``, which lists the checksums of all its files.
        verdicts: of a judge that reasons, or is asked about fewer than all pairs.
    """
    if verdicts is not None:
        return f"{sha256}:verdicts:{_hash(verdicts.deciding())}"
    return sha256 if critiques.source == "given" else f"{sha256}:written:{_hash(critiques.deciding())}"


def _hash(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def write_scored(url: str, scored: Sequence[ScoredComparison], origin: ScoredOrigin | None = None) -> None:
    """Write `scored` to `url`, a local path or s3://, in the given order; rewards keep every bit.

    Args:
        origin: where a whole split was scored, in the order of the data: what and by what.
    """
    columns = {name: [getattr(one, name) for one in scored] for name in _SCHEMA.names}
    table = pa.table(columns, schema=_SCHEMA)
    if origin is not None:
        table = table.replace_schema_metadata({_ORIGIN: json.dumps(asdict(origin), sort_keys=True)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomic(url, sink.getvalue().to_pybytes())


def read_origin(url: str) -> ScoredOrigin | None:
    """What and by what the file at `url` was scored; None where it does not say, or is not there.

    Raises:
        CorruptData: it is none of ours, or damaged.
    """
    if not exists(url):
        return None
    try:
        origin = (pq.read_schema(pa.BufferReader(read_bytes(url))).metadata or {}).get(_ORIGIN)
        return None if origin is None else ScoredOrigin(**json.loads(origin))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise CorruptData(f"{url!r} holds no scored Comparisons: {str(error).splitlines()[0]}") from error


def read_scored(url: str) -> list[ScoredComparison]:
    """What `write_scored` wrote; no Comparison of a file of an earlier version has a group.

    Raises:
        MissingInput: there is no such file.
        CorruptData: it is none of ours, or damaged.
    """
    if not exists(url):
        raise MissingInput(f"{url!r} is not there: `basereward evaluate` writes it beside its report")
    try:
        content = pa.BufferReader(read_bytes(url))
        if missing := sorted({*_SCHEMA.names} - {"group"} - {*pq.read_schema(content).names}):
            raise CorruptData(f"{url!r} holds no scored Comparisons: it has no column {', '.join(missing)}")
        table = pq.read_table(content, schema=_SCHEMA)
        return [_comparison(row) for row in table.to_pylist()]
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise CorruptData(f"{url!r} holds no scored Comparisons: {str(error).splitlines()[0]}") from error


def _comparison(row: dict[str, object]) -> ScoredComparison:
    return ScoredComparison(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})  # type: ignore[arg-type]
