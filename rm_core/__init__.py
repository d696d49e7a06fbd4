"""Packed batches, the reward model, its training on ZeRO, its evaluation and its use as a scorer.

The way of the data, and the folder that holds each step::

    PreparedData (data_pipeline)
      -> Plan                 batches/     which Comparisons form which optimiser step, in which packs (pure)
      -> PackedBatch          batches/     one row of whole Comparisons, each prompt once, with its positions
      -> rewards [R]          model/       Qwen2.5-VL backbone, per-Comparison attention, float32 reward head
      -> (loss sum, count)    objectives/  pairwise, listwise, ties; regularisers
      -> ZeRO engine          training/    accumulate, step, export
         <-> fragments        checkpoints/ the state of a training: complete or absent, for any number of ranks
      -> EvaluationReport     evaluation/  accuracies with intervals, diagnostics, report.html
      -> scores               serving/     the same packed path for a user, a benchmark or an RL trainer

Nothing here imports ray or mlflow: what a trainer needs of them (log, say) is handed in as an argument.
"""
