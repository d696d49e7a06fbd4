"""Scored Comparisons as one parquet file, ``scored.parquet``: what a comparison of two models and an ensemble read."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.errors import CorruptData, MissingInput
from data_pipeline.storage import exists, read_bytes, write_atomic
from rm_core.evaluation.scored import ScoredComparison

__all__ = ["SCORED_FILE", "read_scored", "write_scored"]

SCORED_FILE = "scored.parquet"
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("rewards", pa.list_(pa.float64()), nullable=False),
        pa.field("ranks", pa.list_(pa.int32()), nullable=False),
        pa.field("response_lengths", pa.list_(pa.int32()), nullable=False),
        pa.field("num_images", pa.int32(), nullable=False),
        pa.field("blank_rewards", pa.list_(pa.float64())),
    ]
)


def write_scored(url: str, scored: Sequence[ScoredComparison]) -> None:
    """Write `scored` to `url`, a local path or s3://, in the given order; rewards keep every bit."""
    columns = {name: [getattr(one, name) for one in scored] for name in _SCHEMA.names}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=_SCHEMA), sink, compression="zstd")
    write_atomic(url, sink.getvalue().to_pybytes())


def read_scored(url: str) -> list[ScoredComparison]:
    """What `write_scored` wrote.

    Raises:
        MissingInput: there is no such file.
        CorruptData: it is none of ours, or damaged.
    """
    if not exists(url):
        raise MissingInput(f"{url!r} is not there: `basereward evaluate` writes it beside its report")
    try:
        table = pq.read_table(pa.BufferReader(read_bytes(url)), schema=_SCHEMA)
        return [_comparison(row) for row in table.to_pylist()]
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise CorruptData(f"{url!r} holds no scored Comparisons: {str(error).splitlines()[0]}") from error


def _comparison(row: dict[str, object]) -> ScoredComparison:
    return ScoredComparison(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})  # type: ignore[arg-type]
