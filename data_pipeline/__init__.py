"""Raw preference records to Arrow shards, in two stages: `transform` costs time, `filtering` costs seconds.

Transforming, by work unit (a range of rows of one file), in any order and in any number of processes::

    file --sources.readers---------> raw record          one dict a row
         --sources.adapters--------> Comparison          one adapter a record shape; a tree gives several
         --records.checks----------> Comparison          or RecordError: refused, with its reason
         --media-------------------> Image, Video        bytes that decode, bounded in size; frames of videos
         --encoding.Encoder--------> EncodedComparison   whole tokens of [prompt | response 1 | ... | response K]
         --transform.signals-------> TextSignals         lengths, keys, hashes: all that a filter may ask
         --transform.row_builder---> BuiltRow            the five steps above for one Comparison
         --transform.units---------> UnitRecord          shards/*.arrow, units/<unit>.rows.arrow, units/<unit>.json

Filtering, once, over the signals of all units; opens no image, and no shard but to group records of one prompt::

    signals --filtering.apply------> FilterResult        truncation, rules, duplicates, benchmarks, split, mixture
            --filtering.grouping---> Group               records of one prompt, where the recipe groups them
            --filtering.finish-----> Manifest            rows, quarantine, manifest.json (last: complete)
            --dataset.prepared-----> PreparedData        what training, evaluation and `inspection` read

The rooms, each of which imports only those below it:

    synthetic    a synthetic preference set, for demos and tests
    pipeline     the order of the steps: plan, run what is missing, filter; the workers are an argument
    inspection   looking at prepared data: summary, samples, differences, checksums
    filtering    signals of all rows -> which are used, how often, in which split; the manifest
    transform    recipe -> work units -> shards and signals
    dataset      the output folder: its layout, tables, shards and manifest, and the reader of all that
    encoding     Comparison -> tokens, and where they may be cut
    media        references -> images and videos, checked
    sources      files -> records -> Comparisons
    records      Comparison, and what makes one worth keeping
    storage      the only room that touches files, wherever they lie
    config, bounds, hashing, watcher, errors, shown

A work unit is a pure function of its rows, the settings of transforming and the tokenizer, and its files are named by a
hash of these: units may run anywhere and more than once, and another filter or source repeats none of them. Nothing
here knows tensors or clusters.

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
