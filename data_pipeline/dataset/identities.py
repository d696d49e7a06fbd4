"""What of a shard's rows is the same: the prompt with its pictures, and each response, by the tokens that are read.

Two prompts that only look alike to `signals` (other capitals, other line breaks) are other tokens, and so are theirs
rewards; here they differ.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

__all__ = ["Identity", "identities_of"]


@dataclass(frozen=True, slots=True)
class Identity:
    """One row.

    Attributes:
        prompt: equal for equal tokens, pictures and sizes of the prompt.
        responses: the same of each response.
        spans: images and videos in each response.
    """

    prompt: bytes
    responses: tuple[bytes, ...]
    spans: tuple[int, ...]


def identities_of(
    comparisons: pa.Table, rows: Sequence[int], picture_keys: Sequence[Sequence[str]], prompt_spans: Sequence[int]
) -> list[Identity]:
    """The identities of some rows of one shard; whole, whatever is cut of them later.

    Args:
        comparisons: the shard's table, in `COMPARISON_SCHEMA`.
        picture_keys: for each row, sha256 of its pictures, span after span.
        prompt_spans: for each row, the images and videos of its prompt.
    """
    columns = ["prefix_ids", "response_ids", "responses", "span_frames", "span_seconds"]
    chosen = comparisons.select(columns).take(pa.array(rows, pa.int64())).combine_chunks()
    return [
        _identity({name: chosen[name][place] for name in columns}, keys, in_prompt)
        for place, (keys, in_prompt) in enumerate(zip(picture_keys, prompt_spans, strict=True))
    ]


def _identity(row: dict[str, pa.Scalar], keys: Sequence[str], in_prompt: int) -> Identity:
    frames, seconds = row["span_frames"].as_py(), row["span_seconds"].as_py()
    spans, start = [], 0
    for count, spacing in zip(frames, seconds, strict=True):
        stop = start + max(1, count)
        spans.append(repr((count, spacing, list(keys[start:stop]))).encode())
        start = stop
    counts = _response_spans(row) if len(spans) > in_prompt else [0] * len(row["response_ids"])
    responses, place = [], in_prompt
    for ids, count in zip(row["response_ids"], counts, strict=True):
        responses.append(_hash(ids, spans[place : place + count]))
        place += count
    return Identity(_hash(row["prefix_ids"], spans[:in_prompt]), tuple(responses), tuple(counts))


def _response_spans(row: dict[str, pa.Scalar]) -> list[int]:
    return [sum(part["span"] is not None for part in one["parts"]) for one in row["responses"].as_py()]


def _hash(ids: pa.ListScalar, spans: Sequence[bytes]) -> bytes:
    found = hashlib.blake2b(ids.values.to_numpy().tobytes(), digest_size=16)
    for span in spans:
        found.update(b"|" + span)
    return found.digest()
