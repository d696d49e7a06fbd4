"""Packs of a plan -> the packed rows that the model reads.

`Plan` (packing), encoded Comparisons (data_pipeline)
  -> `loader.PackLoader`      the rows of one rank in the order of its schedule, prepared ahead
  -> `decoding.Decoder`       by a thread, or by worker processes that hand tensors on through shared memory
  -> `packed.PackedBatch`     tokens, M-RoPE positions (`positions`), pixels of distinct images (`pixels`), where
                              each Comparison and response stands, people's judgements (`labels`), tokens that the
                              model shall write (`targets`), and what a judge is asked (`verdicts`); without
                              prefixes that are computed already (`known_prefixes`)
"""
