"""Prepared data on disk, in the order in which it is written, and the one way to read it.

layout        the names of all files and folders of an output folder
shards        ShardRow --write_shard--> ShardInfo: Comparisons and their images, written once
tables        columns of the two tables beside the shards: signals of each unit, and what filtering decided
manifest      Manifest: inputs, settings, counts, checksums; written last, so that a folder with one is complete
shard_reader  one shard -> EncodedComparison or Comparison, a row at a time
prepared      folder -> PreparedData: the kept Comparisons, for training, evaluation and inspection
identities    rows of a shard -> which prompts and which responses are the same tokens and pictures
grouped       PreparedData -> GroupedData: those of one prompt as one, where the recipe groups them, for training
"""
