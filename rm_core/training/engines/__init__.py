"""Sharded training of one model behind one interface: rows -> gradients -> step -> shards to keep -> whole weights.

    `interface`     what the trainer sees, `Engine`, and what checkpoints and the audit of weights see of it
    `choose`        a recipe's word -> the engine
    `rows`          what both compute of a packed row
    `optimizer`     AdamW of both
    `schedule`      learning rates of the parts of a model, step by step
    `zero`          DeepSpeed, the only module that imports it; `zero_state` and `zero_masters` find its shards
    `fsdp`          PyTorch's FSDP2 over the weights that `fsdp_shards` leaves on a rank; `fsdp_state` finds its shards

Checkpoints of one are read by the other.
"""
