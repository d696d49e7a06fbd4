"""Prepared Comparisons -> the packed rows that the model reads.

rows       -> `sizes.PlanningTable`  lengths of every Comparison, no data read
           -> `plan.Plan`            step i -> its Comparisons, packed under the budgets, dealt to ranks (pure)
                                     (`order`: the shuffled stream, `packing`: first fit of many steps at once)
           -> `packed.PackedBatch`   tokens, M-RoPE positions, block layout, pixels (`positions`, `pixels`)
           -> `loader.PackLoader`    the rows of one rank, prepared ahead by a thread or by processes (`decoding`)
"""
