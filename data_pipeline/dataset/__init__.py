"""Prepared data on disk, and how it is read.

shards (Arrow, written once) + tables (one row a Comparison) + manifest (written last: the folder is complete)
    -> shard_reader -> prepared.PreparedData: what training, evaluation and inspection read
"""
