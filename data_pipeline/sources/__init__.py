"""Public preference sets, as published, to Comparisons.

    inputs      SourceConfig -> SourceFile: the files of a source; an index file is followed
    readers     SourceFile --read_rows--> (row number, raw dict)
    registry    shape -> adapter: `SHAPES` is the one table of record shapes
    accounting  adapter -> adapter that accounts for every field: read, irrelevant, counted, or refused with the record
    lost_parts  which fields that are not read would be a loss: media, calls of tools, a system prompt
    fitting     a refused record -> the shape that reads it
    adapters    (raw dict, SourceConfig, row) -> Comparison, several for a tree, or RecordError with its reason
    generic_record  Comparison -> a raw dict of shape jsonl, for who adds to it
    parsing     what adapters share: checked fields, dialogues, images among turns, ratings, judges' prompts

Readers know files (.jsonl, .json, .csv, .tsv, each also .gz, and .parquet; one module a kind) and nothing of
preferences. Adapters, one module a record shape, know fields and nothing of files: each is a pure function.
docs/data.md shows a record of each shape.

Row numbers count from 0; in JSON lines they are line numbers less one, blank lines included.

Whether a Comparison is worth keeping (empty answers, all ties, ...) is asked later, of all shapes alike, by
`data_pipeline.records.checks`.
"""
