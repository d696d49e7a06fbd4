"""Raw records to rows of shards, by work unit; everything that costs something, and no rule.

planning   sources -> work units, each with the address of what it will write
units      one work unit: rows of one file -> shards, signals, `units/<address>.json` (written last)
row_builder  one raw record -> one row: adapter, checks, media, tokens
signals    what later filters ask of a row: lengths, keys, hashes
failures   units that kept failing, put aside
"""
