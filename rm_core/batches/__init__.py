"""Prepared Comparisons -> the packed rows that the model reads.

rows       -> `sizes.PlanningTable`  lengths and cost of every Comparison, no data read (`row_sizes`, `cost`)
           -> `plan.Plan`            step i -> its Comparisons, packed under the budgets, dealt to ranks (pure)
                                     (`order`: the shuffled stream, `packing`: first fit of many steps at once,
                                     `balance`: as many packs a rank, of about equal cost)
           -> `packed.PackedBatch`   tokens, M-RoPE positions, block layout, pixels (`positions`, `pixels`)
           -> `loader.PackLoader`    the rows of one rank, prepared ahead by a thread or by processes (`decoding`)
"""
