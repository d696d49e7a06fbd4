"""Public preference sets, as published, to Comparisons.

Two steps, both driven by the pipeline::

    file  --readers.read_rows-->  (row number, raw dict)  --registry.adapter_of(shape)-->  Comparison

``readers.py`` knows files (.jsonl, .json, .csv, .tsv, each also .gz, and .parquet; one module a kind) and nothing of
preferences. One adapter file a record shape knows fields and nothing of files: a pure function of (record, source, row)
that returns a Comparison, or several where a record holds several, or raises RecordError with a countable reason.
``registry.SHAPES`` is the one table of shapes; docs/data.md shows a record of each.

Row numbers count from 0; in JSON lines they are line numbers less one, blank lines included.

Whether a Comparison is worth keeping (empty answers, all ties, ...) is asked later, of all shapes alike, by
``clean.py``.
"""
