"""Prepared folders for tests, written without preprocessing: real shards, and reasons that the test itself decides."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa

from data_pipeline import storage
from data_pipeline.config import MediaConfig, PreprocessConfig, SourceConfig
from data_pipeline.dataset.manifest import Counts, FileInfo, InputFile, Manifest, SourceCounts
from data_pipeline.dataset.shards import SCHEMA_VERSION, ShardRow, reasoned_lengths, serialise, span_frames, write_shard
from data_pipeline.dataset.tables import REASONED, ROWS_SCHEMA, with_reasoned
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.media import load_image
from data_pipeline.records.checks import content_key
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn


@dataclass(frozen=True, kw_only=True)
class ToyRow:
    """A Comparison that was made, and what filtering says of it."""

    comparison: Comparison
    split: str = "train"
    reason: str = ""
    repeats: int = 1
    dropped_turns: int = 0
    cut_to: int | None = None
    """Longer responses are cut to so many tokens."""


@dataclass(frozen=True, kw_only=True)
class ToyRefusal:
    """A record of which nothing was made."""

    source: str
    reason: str
    id: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class ToyData:
    """All that goes into a folder."""

    rows: Sequence[ToyRow]
    refusals: Sequence[ToyRefusal] = ()
    config: PreprocessConfig = field(default_factory=PreprocessConfig)
    file_sha256: str = "a" * 64


def scene(seed: int, height: int = 84, width: int = 112) -> bytes:
    """A picture that a person can tell from another: coloured bars on a shaded ground, as PNG bytes."""
    random = np.random.default_rng(seed)
    ground = np.linspace(0.35, 1.0, height)[:, None, None] * random.integers(120, 256, 3)
    pixels = np.broadcast_to(ground, (height, width, 3)).astype(np.uint8)
    for _ in range(3):
        top, left = int(random.integers(0, height - 20)), int(random.integers(0, width - 30))
        pixels[top : top + height // 3, left : left + width // 4] = random.integers(0, 256, 3)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def toy_comparison(
    place: int,
    *,
    source: str = "scenes",
    images: int = 0,
    ranks: Sequence[int] = (0, 1),
    prompt: str | None = None,
    answers: Sequence[str] | None = None,
    turns: int = 1,
) -> Comparison:
    """A Comparison with text that differs by `place`."""
    said = [f"Answer {k} to question {place}: {'it is so ' * (1 + (place + k) % 5)}" for k in range(len(ranks))]
    asked = prompt if prompt is not None else f"Question {place}: what is to be seen, and why?"
    earlier = [Turn("user" if i % 2 == 0 else "assistant", (f"Earlier turn {i}. " * 3,)) for i in range(turns - 1)]
    return Comparison(
        id=f"{source}-{place}",
        source=source,
        prompt=(*earlier, Turn("user", (*(ImageSlot(i) for i in range(images)), asked))),
        responses=tuple(
            Response((text,), rank=rank, score=None if place % 2 else 5.0 - rank)
            for text, rank in zip(answers or said, ranks, strict=True)
        ),
        media=tuple(MediaRef(data=scene(10 * place + i)) for i in range(images)),
    )


def write_toy(folder: Path, toy: ToyData) -> str:
    """Write a finished folder; returns its path."""
    model = folder.parent / "toy-model"
    if not model.exists():
        train_tokenizer(["What is to be seen? It is so. Answer, question, earlier turn."], 320, str(model))
    tokenizer = load_tokenizer(str(model))
    encoder = Encoder(tokenizer, toy.config.encode)
    shard_rows = [_shard_row(row.comparison, encoder) for row in toy.rows]
    half = (len(shard_rows) + 1) // 2
    address = hashlib.sha256(repr((toy.config, toy.file_sha256, toy.rows, toy.refusals)).encode()).hexdigest()[:32]
    parts = [part for part in (shard_rows[:half], shard_rows[half:]) if part]
    written = [write_shard(str(folder / "shards"), f"{address[:8]}-{place}", part) for place, part in enumerate(parts)]
    spans = [span for _, found in written for span in found]
    planned = [
        _planned(row, shard, spans[i], (int(i >= half), i - half * int(i >= half)))
        for i, (row, shard) in enumerate(zip(toy.rows, shard_rows, strict=True))
    ]
    lines = [_line(one.source, place, one.id, one.reason, one.detail) for place, one in enumerate(toy.refusals)]
    lines += [
        _line(row.comparison.source, 100 + place, row.comparison.id, row.reason, "as the test says")
        for place, row in enumerate(toy.rows)
        if row.reason
    ]
    config = json.loads(json.dumps(asdict(toy.config)))
    schema = with_reasoned(ROWS_SCHEMA, toy.config.encode.reasonings)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        address=address,
        code="0.1.0",
        config={key: value for key, value in config.items() if key not in ("output", "data_root", "tokenizer")},
        tokenizer=tokenizer.fingerprint,
        inputs=_inputs(toy),
        counts=counts_of(planned, lines),
        shards=[info for info, _ in written],
        rows_file=_written(folder, f"rows.{address}.arrow", serialise(pa.Table.from_pylist(planned, schema))),
        quarantine_file=_written(
            folder, f"quarantine.{address}.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode()
        ),
    )
    manifest.write(str(folder))
    return str(folder)


def counts_of(planned: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]) -> Counts:
    """What an honest manifest says."""
    kept = [row for row in planned if not row["mark"]]
    by_source: dict[str, SourceCounts] = {}
    for name in dict.fromkeys([*(row["source"] for row in planned), *(line["source"] for line in lines)]):
        mine = [row for row in kept if row["source"] == name]
        reasons = Counter(line["reason"] for line in lines if line["source"] == name)
        by_source[name] = SourceCounts(
            seen=len(mine) + reasons.total(),
            kept=len(mine),
            refused=reasons.total(),
            refused_by_reason=dict(reasons),
            shown=sum(row["repeats"] for row in mine if row["split"] == "train"),
        )
    return Counts(
        seen=len(kept) + len(lines),
        kept=len(kept),
        refused=len(lines),
        refused_by_reason=dict(Counter(line["reason"] for line in lines)),
        by_source=by_source,
        by_split=dict(Counter(row["split"] for row in kept)),
    )


def _shard_row(comparison: Comparison, encoder: Encoder) -> ShardRow:
    images = [load_image(ref, "", MediaConfig()) for ref in comparison.media]
    encoded, segments = encoder.encode_segments(comparison, images)
    return ShardRow(comparison, encoded, segments, content_key(comparison, [image.sha256 for image in images]))


def _planned(row: ToyRow, shard: ShardRow, span: list[int], place: tuple[int, int]) -> dict[str, Any]:
    encoded = shard.encoded
    dropped = sum(shard.segments.lengths[1 : 1 + row.dropped_turns])
    lengths = [len(ids) for ids in encoded.response_ids]
    return {
        "shard": place[0],
        "row": place[1],
        "id": encoded.id,
        "source": encoded.source,
        "split": row.split,
        "prefix_length": len(encoded.prefix_ids) - dropped,
        "response_lengths": [min(length, row.cut_to or length) for length in lengths],
        "ranks": list(encoded.ranks),
        "image_rows": span,
        "image_patches": [span.num_patches for span in encoded.images],
        "span_frames": span_frames(encoded.images),
        "content_key": shard.content_key,
        "mark": row.reason,
        "repeats": row.repeats,
        "dropped_turns": row.dropped_turns,
        REASONED.name: reasoned_lengths(encoded),
    }


def _line(source: str, row: int, name: str, reason: str, detail: str) -> dict[str, Any]:
    return {"source": source, "path": f"{source}.jsonl", "row": row, "item": 0, "id": name, "reason": reason,
            "detail": detail}  # fmt: skip


def _inputs(toy: ToyData) -> list[InputFile]:
    names = dict.fromkeys([*(row.comparison.source for row in toy.rows), *(one.source for one in toy.refusals)])
    return [InputFile(source=n, path=f"{n}.jsonl", bytes=1234567, sha256=toy.file_sha256, rows=90) for n in names]


def _written(folder: Path, name: str, data: bytes) -> FileInfo:
    storage.write_atomic(str(folder / name), data)
    return FileInfo(name=name, sha256=hashlib.sha256(data).hexdigest())


def mixed_toy(count: int = 60) -> ToyData:
    """Three sources, with and without images, K = 2 to 4, ties, repeats, cuts, filtered rows and refusals."""
    rows = []
    for place in range(count):
        ranks = [(0, 1), (1, 0, 2), (0, 1, 1, 2)][place % 3]
        one = toy_comparison(
            place,
            source=("scenes", "chat", "captions")[place % 3],
            images=(1, 0, 2)[place % 3],
            ranks=ranks,
            turns=1 + 2 * (place % 3 == 1) * (place % 4),
        )
        row = ToyRow(comparison=one, split="heldout" if place % 7 == 0 else "train", repeats=1 + (place % 3 == 2))
        if place % 11 == 5:
            row = replace(row, reason="near_duplicate", repeats=0)
        if place % 3 == 1 and place % 4 == 2:
            row = replace(row, dropped_turns=2, cut_to=20)
        rows.append(row)
    refusals = [
        ToyRefusal(
            source="scenes", reason="broken_image", id=f"b{i}", detail="211 bytes: OSError: image file is truncated"
        )
        for i in range(7)
    ]
    refusals += [ToyRefusal(source="captions", reason="missing_media", detail="no file 'images/7.png'")]
    sources = [SourceConfig(name=name, path=f"{name}.jsonl") for name in ("scenes", "chat", "captions")]
    return ToyData(rows=rows, refusals=refusals, config=PreprocessConfig(sources=sources))
