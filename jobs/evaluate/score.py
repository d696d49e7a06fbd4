"""`basereward score`: JSON lines in, the same lines with rewards out, by the packed path that trained the model.

    input --split_rows--> parts of 256 lines --LineReader--> chunks --scoring_actors--> rewards --PartsFolder--> output

A line gets ``rewards``, one number a response in the line's own order. A line that cannot be scored gets
``rewards: null`` and ``error``, and is counted; every line of the input is a line of the output, in order. Memory holds
the chunks that are under way, however long the input is. A killed run goes on by the same command.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

from data_pipeline import storage
from data_pipeline.config import SourceConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import MissingInput, RecipeError
from data_pipeline.sources.readers.files import RowRange, split_rows
from jobs.evaluate.prepare import reading_as
from jobs.evaluate.score_parts import Part, PartsFolder, Tally
from jobs.evaluate.scoring_actors import Given, ScoringJob, ScoringPool
from jobs.evaluate.writing import job_of_writing
from jobs.preprocess.preprocess import unread_rows
from jobs.recipe.load import required
from jobs.recipe.schema import Recipe, with_absolute_paths
from jobs.runtime.leases import writes
from jobs.runtime.terminal import progress, say, table
from rm_core.model_folder.folder import marker_sha256, verify_folder
from rm_core.model_folder.remote import local_model
from rm_core.scoring.choose import check_writing
from rm_core.scoring.lines import Line, LineReader, line_of

__all__ = ["CHUNK_LINES", "LINES_A_PART", "Chunk", "ReadsLines", "chunks_of", "run", "score_parts"]

LINES_A_PART = 256
"""Lines that are done again where a run is killed on the way."""
CHUNK_LINES = 64
CHUNK_BYTES = 32 << 20
"""Lines, and bytes of their pictures and texts, that are sent to an actor at once; a single line may have more."""
_FORMAT = 1
_PASSING = ("missing_media", "remote_media", "unavailable_media")
"""Reasons that may be gone the next time."""

Rewards = Sequence[Given]
ScoreChunks = Callable[[Iterable[tuple["Chunk", Sequence[EncodedComparison]]]], Iterator[tuple["Chunk", Rewards]]]
"""Gives each chunk with the rewards of its Comparisons, in order."""


@dataclass
class Chunk:
    """Lines of one part that are scored together.

    Attributes:
        ends: whether they are the last ones of their part.
        unread: of the whole part, where it ends.
    """

    rows: RowRange
    lines: list[Line] = field(default_factory=list)
    ends: bool = False
    unread: dict[str, int] = field(default_factory=dict)


class ReadsLines(Protocol):
    """Rows as lines to score."""

    def lines(self, part: RowRange) -> Iterator[Line]:
        """One for each row of the part, in order."""

    def take_unread(self) -> dict[str, int]:
        """How many records had a field that was not read, by the field, since this was asked before."""


@writes("score.output", file=True)
def run(recipe: Recipe) -> None:
    """Score `recipe.score.input`.

    Raises:
        UserError: input or model are not there, the recipe reads records in another way than the model, or a Comparison
            exceeds a budget.
        RunError: a scoring process died; what is done is kept.
    """
    shown = recipe.score.output
    config = with_absolute_paths(recipe.score, "model", "output")
    source = required(config.input, "score.input", "mine.jsonl")
    if not storage.exists(source):
        raise MissingInput(f"score.input={source!r} is not there: check the path, which starts from {os.getcwd()}")
    if storage.absolute(source) == config.output:
        raise RecipeError(f"score.output={shown!r} is the input: give the lines with rewards a file of their own")
    copy = local_model(config.model)
    verify_folder(copy)
    name = f"score.model={recipe.score.model!r}"
    check_writing(copy, config.critiques, config.verdicts, name=name, section="score")
    recipe = reading_as(recipe, copy, f"score.model={recipe.score.model!r}")
    parts = split_rows(source, LINES_A_PART)
    again = _PASSING if config.retry_refused else ()
    folder = PartsFolder(config.output, _job(recipe, source, copy), again=again)
    tally = folder.finished()
    if tally is not None:
        say(f"{shown} is finished already: nothing to do")
        show(shown, tally)
        return
    done = folder.open()
    missing = [part for part in parts if part.start not in done]
    if missing:
        encoder = Encoder(load_tokenizer(copy), recipe.preprocess.encode)
        chunks = chunks_of(missing, _reader(recipe, source, encoder))
        _score_missing(recipe, folder, chunks, total=sum(part.count for part in parts), missing=missing)
    show(shown, folder.publish(parts))


def _score_missing(
    recipe: Recipe, folder: PartsFolder, chunks: Iterator[Chunk], *, total: int, missing: Sequence[RowRange]
) -> None:
    """Score the parts that are left, on the recipe's cluster."""
    config = recipe.score
    job = ScoringJob(
        model=storage.absolute(config.model),
        token_budget=config.token_budget,
        patch_budget=config.patch_budget,
        attention=config.attention,
        critiques=config.critiques,
        verdicts=config.verdicts,
    )
    left = sum(part.count for part in missing)
    already = total - left
    with ScoringPool(job, recipe.cluster) as pool, progress("score lines", total, already) as advance:
        score_parts(
            folder,
            chunks,
            lambda given: pool.comparisons(given, num_chunks=-(-left // CHUNK_LINES)),
            lambda lines: advance(already + lines, ""),
        )


def chunks_of(parts: Sequence[RowRange], reader: ReadsLines) -> Iterator[Chunk]:
    """The lines of every part, in chunks of about `CHUNK_BYTES`, read as they are asked for.

    Parts that follow each other are read in one go: to begin in the middle of a file may cost all that is before it.
    """
    for run in _runs(parts):
        lines = reader.lines(RowRange(run[0].start, sum(rows.count for rows in run), run[0].offset))
        for rows in run:
            chunk, num_bytes = Chunk(rows), 0
            for line in islice(lines, rows.count):
                full = len(chunk.lines) >= CHUNK_LINES or num_bytes + line.num_bytes > CHUNK_BYTES
                if chunk.lines and full:
                    yield chunk
                    chunk, num_bytes = Chunk(rows), 0
                chunk.lines.append(line)
                num_bytes += line.num_bytes
            yield replace(chunk, ends=True, unread=reader.take_unread())


def _runs(parts: Sequence[RowRange]) -> list[list[RowRange]]:
    """The parts, those that follow each other together."""
    runs: list[list[RowRange]] = []
    for rows in parts:
        if runs and runs[-1][-1].start + runs[-1][-1].count == rows.start:
            runs[-1].append(rows)
        else:
            runs.append([rows])
    return runs


def score_parts(
    folder: PartsFolder, chunks: Iterator[Chunk], score: ScoreChunks, advance: Callable[[int], None]
) -> None:
    """Score all chunks, and keep each part as soon as its last line is there.

    Args:
        advance: told how many lines are done.
    """
    asked = ((chunk, [line.encoded for line in chunk.lines if line.encoded is not None]) for chunk in chunks)
    part: Part | None = None
    lines = 0
    for chunk, found in score(asked):
        part = part or Part(chunk.rows)
        rewards = iter(found)
        for line in chunk.lines:
            part.add(*_line_of(line, None if line.encoded is None else next(rewards)))
        lines += len(chunk.lines)
        if chunk.ends:
            folder.write(part, chunk.unread)
            part = None
        advance(lines)


def _line_of(line: Line, given: Given | None) -> tuple[str, str | None]:
    if given is None or isinstance(given, tuple):
        return line_of(line, given)
    return line_of(line, given.rewards, given.fields(), error=given.error)


def show(output: str, tally: Tally) -> None:
    """How many lines there are, how many have rewards, and why the others have none."""
    not_scored = sum(tally.not_scored.values())
    rows = [
        ("lines", f"{tally.lines:,}"),
        ("scored", f"{tally.lines - not_scored:,}"),
        ("not scored", f"{not_scored:,}"),
    ]
    rows += [(f"  {reason}", f"{number:,}") for reason, number in tally.not_scored.items()]
    table(f"Rewards in {output}", rows + unread_rows(tally.unread))
    if not set(_PASSING).isdisjoint(tally.not_scored):
        say("pictures were not there: once they are, run the same command with score.retry_refused=true")


def _reader(recipe: Recipe, source: str, encoder: Encoder) -> LineReader:
    config, rules = recipe.score, recipe.preprocess.rules
    named = SourceConfig(name="score", path=source, shape=config.shape, fields=config.fields)
    root = config.media_root or storage.parent_of(source)
    given = config.critiques.source == "given"
    return LineReader(named, root, encoder, recipe.preprocess.media, rules.max_tokens, needs_critiques=given)


def _job(recipe: Recipe, source: str, model: str) -> dict[str, Any]:
    """Everything that decides the output."""
    shape = {} if recipe.score.shape == SourceConfig.shape else {"shape": recipe.score.shape}  # others came later
    return {
        "format": _FORMAT,
        **shape,
        "input": storage.sha256_of(source),
        "media_root": recipe.score.media_root or storage.parent_of(source),
        "fields": asdict(recipe.score.fields),
        "model": marker_sha256(model),
        "encode": asdict(recipe.preprocess.encode),
        "media": asdict(recipe.preprocess.media),
        "max_tokens": recipe.preprocess.rules.max_tokens,
        **job_of_writing(recipe.score.critiques, recipe.score.verdicts),
    }
