"""Raw records to shards, by work unit: everything that costs time, and no filter.

    planning      PreprocessConfig -> InputRef -> FileScan -> WorkUnits, each with the address of what it will write
    written       what of it would cut critiques and reasonings, or lose some
    units         WorkUnit -> UnitRecord: rows of one file to shards and signals; `units/<address>.json` is written last
    loose_media   media beside the records: whether a unit that is done would read others now
    row_builder   one raw record -> BuiltRow, or RecordError: adapter, checks, media, tokens
    signals       Comparison -> TextSignals: what filters will ask of its texts
    failures      units that failed in every attempt: UnitFailure, left to the next run

`data_pipeline.pipeline` calls `planning`, then `units` for whatever is missing.
"""
