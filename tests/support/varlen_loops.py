"""What FlashAttention computes on GPUs alone, as loops."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from rm_core.batches.attention_indices import Sequences


def varlen_by_loops(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float) -> Tensor:
    """What FlashAttention computes: each sequence on its own, the causal mask aligned at the end."""
    outputs = []
    starts = zip(sequences.query_starts.tolist(), sequences.key_starts.tolist(), strict=True)
    (q, k), *ends = starts
    for q_end, k_end in ends:
        lengths = q_end - q, k_end - k
        mask = torch.ones(*lengths, dtype=torch.bool).tril(lengths[1] - lengths[0])
        parts = (part.transpose(0, 1)[None] for part in (query[q:q_end], key[k:k_end], value[k:k_end]))
        attended = scaled_dot_product_attention(*parts, attn_mask=mask, scale=scale, enable_gqa=True)
        outputs.append(attended[0].transpose(0, 1))
        q, k = q_end, k_end
    return torch.cat(outputs)
