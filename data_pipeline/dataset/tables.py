"""The tables about Comparisons that lie beside the shards: what transforming found, and what filtering decided.

    units/<address>.rows.arrow   UNIT_ROWS_SCHEMA   one row a Comparison: sizes and signals, no decision
    rows.<address>.arrow         ROWS_SCHEMA        the same rows in plan order, with reason, split, cut and repeats
    groups.<address>.arrow       GROUPS_SCHEMA      where `group_prompts` is on: the kept rows, by what they ask

Filtering reads the first and writes the second, so that changing a rule opens no shard and no image.
"""

import pyarrow as pa

__all__ = ["GROUPS_SCHEMA", "MINHASH_VALUES", "REASONED", "ROWS_SCHEMA", "UNIT_ROWS_SCHEMA", "with_reasoned"]

MINHASH_VALUES = 64
"""Values of 16 bits in a MinHash signature."""

_INTS = pa.list_(pa.int32())
_MINHASH = pa.binary(2 * MINHASH_VALUES)

UNIT_ROWS_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),  # place among the unit's shards
        ("row", pa.int32()),  # row of that shard
        ("raw_row", pa.int64()),  # row of the raw file
        ("item", pa.int32()),  # which of the record's Comparisons
        ("id", pa.string()),
        ("source", pa.string()),
        ("own_split", pa.string()),  # the split that record or source fixes, or ""
        ("file_repeat", pa.float64()),  # how often the set's own index repeats the file
        ("turn_lengths", _INTS),  # tokens of [system turn, turn 1, ..., turn n, answer header]
        ("turn_images", _INTS),  # image and video spans in each of them
        ("response_lengths", _INTS),  # tokens, with the closing one
        ("response_floors", _INTS),  # tokens that a cut has to keep so that no span is cut
        ("common_prefix", pa.int32()),  # most leading tokens that two responses of different rank share
        ("ranks", _INTS),
        ("image_rows", _INTS),  # rows of the shard's image table, one a still image or frame, prefix first
        ("image_patches", _INTS),  # vision patches, one number a span
        ("span_frames", _INTS),  # pictures of each span: 0 for a still image, n for a video of n frames
        ("content_key", pa.string()),
        ("image_keys", pa.list_(pa.string())),  # sha256 of the files, parallel to image_rows
        ("image_hashes", pa.list_(pa.uint64())),  # perceptual hashes, likewise; 0: a flat picture has none
        ("prompt_key", pa.string()),
        ("prompt_chars", pa.int32()),
        ("response_chars", _INTS),
        ("language", pa.string()),  # ISO 639-1, "" unknown
        ("prompt_minhash", _MINHASH),
        ("response_minhash", _MINHASH),
        ("prompt_ngrams", pa.list_(pa.uint64())),
    ]
)
"""What transforming knows of a Comparison before any filter is applied."""

ROWS_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),  # place in the manifest's list of shards
        ("row", pa.int32()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("prefix_length", pa.int32()),  # tokens, after truncation, as all sizes here
        ("response_lengths", _INTS),
        ("ranks", _INTS),
        ("image_rows", _INTS),
        ("image_patches", _INTS),
        ("span_frames", _INTS),
        ("content_key", pa.string()),
        ("mark", pa.string()),  # why it was refused; "": kept
        ("repeats", pa.int32()),  # times an epoch shows it
        ("dropped_turns", pa.int32()),  # oldest turns cut away, after the system turn
    ]
)
"""What filtering decided: all that planning needs."""

REASONED = pa.field("reasoned_lengths", _INTS)
"""A column behind the others in tables about shards with reasonings: of each, its tokens and those of the two answers
that it is about."""


def with_reasoned(schema: pa.Schema, reasonings: str) -> pa.Schema:
    """The schema of a table about shards that were written with `EncodeConfig.reasonings`."""
    return schema.append(REASONED) if reasonings == "given" else schema


GROUPS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # of its first record
        ("source", pa.string()),
        ("split", pa.string()),
        ("repeats", pa.int32()),
        ("prefix_length", pa.int32()),  # tokens, after truncation
        ("response_lengths", _INTS),  # of its different responses
        ("response_spans", _INTS),  # image and video spans in each of them; empty where it is of one record
        ("image_patches", _INTS),  # one number a span, those of the prompt first
        ("span_frames", _INTS),
        ("records", _INTS),  # its records, as rows of the table of rows, in the order of their contents
        ("judged_counts", _INTS),  # responses that each record judges
        ("judged", _INTS),  # which of the group's responses these are, record after record
        ("ranks", _INTS),  # what the record says of them, parallel to `judged`
    ]
)
"""Grouped Comparisons; each kept row is in one, alone or with others."""
