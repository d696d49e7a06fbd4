"""Raw records to shards as a Ray job (`preprocess`), and looking at what came of it (`inspect`).

`preprocess` hands work units to Ray; `unit_log` says how far it is. `prepared` names what later verbs train on.
"""
