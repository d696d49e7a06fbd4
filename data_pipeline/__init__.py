"""Raw preference records to Arrow shards, in two stages.

Making, by work unit (a range of rows of one file); costs reading, decoding and tokenising::

    files --sources.readers--> raw record          one dict a row
          --sources.registry-> Comparison          one adapter a record shape; several of a tree
          --clean.check------> Comparison          or RecordError: refused, with its reason
          --media------------> Image               bytes that decode, bounded in size; frames of videos
          --encode.Encoder---> EncodedComparison   whole tokens of [prompt | response 1 | ... | response K]
          --signals----------> one row of numbers  lengths, keys, hashes: all that a rule may ask
          --units------------> shards/*.arrow, units/<address>.rows.arrow, units/<address>.json

Marking, once, over the signals of all units; opens no shard and no image::

    signals --marks.marking--> truncation, rules, duplicates, benchmarks, split, mixture
            --finishing------> rows.<address>.arrow, quarantine.<address>.jsonl, manifest.json (last: complete)
            --dataset--------> PreparedData        what training, evaluation and reports read

A work unit is a pure function of its rows, the making settings and the tokenizer, and its files are named by a hash of
these: units may run anywhere, in any order and more than once; another rule or source does none of them again. Only
`storage` touches files. Nothing here knows tensors or clusters.

    >>> from data_pipeline.config import PreprocessConfig, SourceConfig
    >>> from data_pipeline.pipeline import prepare
    >>> config = PreprocessConfig(
    ...     sources=[SourceConfig(name="mine", path="pairs.jsonl")], tokenizer="model", output="shards"
    ... )
    >>> manifest = prepare(config)  # doctest: +SKIP
    >>> manifest.counts.seen == manifest.counts.kept + manifest.counts.refused  # doctest: +SKIP
    True
"""

__version__ = "0.1.0"
