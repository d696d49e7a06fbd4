"""Raw preference records to Arrow shards, in this order.

    files --sources.readers--> raw record        one dict a row, by row range (`units.WorkUnit`)
          --sources.registry--> Comparison       one adapter a record shape
          --clean.check-------> Comparison       or RecordError: the record goes to quarantine with its reason
          --media.load_image--> Image            bytes that decode, bounded in size
          --encode.Encoder----> EncodedComparison  tokens of [prompt | response 1 | ... | response K], image sizes
          --shards------------> shards/00012.arrow and .images.arrow, units/00012.json
          --pipeline.finish---> rows.arrow, quarantine.jsonl, manifest.json (last: the folder is complete)
          --dataset-----------> PreparedData     what training, evaluation and reports read

A work unit is a pure function of its rows, the config and the tokenizer, so units may run anywhere, in any order and
more than once: the bytes are the same. Only `storage` touches files. Nothing here knows tensors or clusters.

    >>> from data_pipeline.config import PreprocessConfig, SourceConfig
    >>> from data_pipeline.pipeline import prepare
    >>> config = PreprocessConfig(
    ...     sources=[SourceConfig(name="mine", path="pairs.jsonl")], tokenizer="model", output="shards"
    ... )
    >>> manifest = prepare(config)  # doctest: +SKIP
    >>> manifest.counts.seen == manifest.counts.kept + manifest.counts.refused  # doctest: +SKIP
    True
"""
