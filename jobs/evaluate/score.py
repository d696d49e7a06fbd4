"""`basereward score`: JSON lines in, the same lines with rewards out, by the packed path that trained the model.

A line gets ``rewards``, one number a response in the line's own order. A line that cannot be scored gets
``rewards: null`` and ``error``, and is counted; every line of the input is a line of the output, in order.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig, SourceConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder, check_length
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.media import load_image
from data_pipeline.sources.adapters.jsonl import to_unranked
from data_pipeline.sources.readers.files import read_rows
from data_pipeline.storage import absolute
from jobs.evaluate.prepare import reading_as
from jobs.evaluate.scoring_actors import ScoringJob, collect, scored_chunks
from jobs.recipe.load import required
from jobs.recipe.schema import Recipe, ScoreConfig
from jobs.runtime.leases import writes
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.terminal import table
from rm_core.model_folder.folder import verify_folder
from rm_core.model_folder.remote import local_model

__all__ = ["run"]

_CHUNK = 64


@dataclass(frozen=True)
class Line:
    """One line of the input: its record, and either the Comparison or why there is none."""

    record: Mapping[str, Any]
    encoded: EncodedComparison | None
    error: str | None


@writes("score.output", file=True)
def run(recipe: Recipe) -> None:
    """Score `recipe.score.input`.

    Raises:
        UserError: input or model are not there, the recipe reads records in another way than the model, or a Comparison
            exceeds a budget.
        RunError: a scoring process died.
    """
    config = recipe.score
    source = required(config.input, "score.input", "mine.jsonl")
    if not storage.exists(source):
        raise MissingInput(f"score.input={source!r} is not there: check the path, which starts from {os.getcwd()}")
    model = absolute(config.model)
    copy = local_model(model)
    verify_folder(copy)
    recipe = reading_as(recipe, copy)
    lines = list(read_lines(source, config, Encoder(load_tokenizer(copy), recipe.preprocess.encode), recipe))
    rewards = iter(score_lines(recipe, model, [line.encoded for line in lines if line.encoded is not None]))
    written = [_output(line, next(rewards) if line.encoded is not None else None) for line in lines]
    storage.write_atomic(config.output, "".join(written).encode("utf8"))
    errors = Counter(line.error.partition(":")[0] for line in lines if line.error is not None)
    rows = [
        ("lines", str(len(lines))),
        ("scored", str(len(lines) - errors.total())),
        ("not scored", str(errors.total())),
    ]
    rows += [(f"  {reason}", str(number)) for reason, number in sorted(errors.items())]
    table(f"Rewards in {config.output}", rows)


def read_lines(url: str, config: ScoreConfig, encoder: Encoder, recipe: Recipe) -> Iterator[Line]:
    """Every line of the file, encoded where that is possible."""
    source = SourceConfig(name="score", path=url, fields=config.fields)
    root = config.media_root or storage.parent_of(url)
    for row, record in read_rows(url):
        if isinstance(record, RecordError):
            yield Line({}, None, str(record))
            continue
        try:
            yield Line(record, _encoded(record, source, row, root, encoder, recipe.preprocess), None)
        except RecordError as error:
            yield Line(record, None, str(error))


def score_lines(recipe: Recipe, model: str, items: list[EncodedComparison]) -> list[tuple[float, ...]]:
    """Rewards of every Comparison, on the recipe's cluster."""
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    job = ScoringJob(model=model, token_budget=recipe.score.token_budget, patch_budget=recipe.score.patch_budget)
    if not chunks:
        return []
    with open_cluster(recipe.cluster) as cluster:
        return collect("score lines", len(items), scored_chunks(job, cluster, chunks))


def _encoded(
    record: Mapping[str, Any], source: SourceConfig, row: int, root: str, encoder: Encoder, config: PreprocessConfig
) -> EncodedComparison:
    comparison = to_unranked(record, source, row)
    encoded = encoder.encode(comparison, [load_image(ref, root, config.media) for ref in comparison.media])
    check_length(encoded, config.rules.max_tokens)
    return encoded


def _output(line: Line, rewards: tuple[float, ...] | None) -> str:
    added: dict[str, object] = (
        {"rewards": list(rewards)} if rewards is not None else {"rewards": None, "error": line.error}
    )
    return json.dumps({**line.record, **added}, ensure_ascii=False) + "\n"
