"""What both sides of `benchmarks.train_step` have to do for the same Comparisons: tokens, images, FLOPs."""

from collections.abc import Sequence

import numpy as np

from benchmarks.common.padded_rows import micro_batches
from benchmarks.train_step.sides import ModelSize
from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.model.flops import Flops

__all__ = ["as_padded_as", "counts", "flop_ratio", "grouped"]


def grouped(comparisons: Sequence[EncodedComparison]) -> list[EncodedComparison]:
    """The Comparisons by the length of their longest sequence: micro-batches with the least padding."""
    return sorted(comparisons, key=lambda item: item.length)


def as_padded_as(
    pool: Sequence[EncodedComparison], sample: Sequence[EncodedComparison], *, seed: int, trials: int = 200
) -> list[EncodedComparison]:
    """The sample in that of `trials` random orders in which the reference pads it most nearly as it pads the pool.

    One long answer pads a whole micro-batch, so in few Comparisons the share of padding is otherwise a matter of luck.
    """
    rng = np.random.default_rng(seed)
    shuffled = [pool[place] for place in rng.permutation(len(pool))]
    share = padded_tokens(shuffled) / sum(map(full_tokens, pool))
    orders = [[sample[place] for place in rng.permutation(len(sample))] for _ in range(trials)]
    total = sum(map(full_tokens, sample))
    return min(orders, key=lambda order: abs(padded_tokens(order) / total - share))


def full_tokens(item: EncodedComparison) -> int:
    """Tokens of its K sequences, each with the prompt, without padding."""
    return len(item.prefix_ids) * len(item.response_ids) + sum(map(len, item.response_ids))


def padded_tokens(comparisons: Sequence[EncodedComparison]) -> int:
    """Tokens of K padded sequences a Comparison, micro-batches in the order given."""
    return sum(
        max(item.length for item in group) * sum(len(item.response_ids) for item in group)
        for group in micro_batches(comparisons)
    )


def counts(
    comparisons: Sequence[EncodedComparison], groups: Sequence[EncodedComparison] | None = None
) -> dict[str, float]:
    """Tokens and images a Comparison, and the two ideas that save tokens apart.

    *Packing* leaves out the padding of file order, *sharing* the repeated prompts.

    Args:
        groups: what our side computes in the place of the Comparisons, where it groups them.
    """
    full, ours = sum(map(full_tokens, comparisons)), comparisons if groups is None else groups
    packed, reference = sum(item.num_tokens for item in ours), padded_tokens(comparisons)
    count = len(comparisons)
    return {
        "tokens": packed / count,
        "tokens_reference": reference / count,
        "tokens_grouped": padded_tokens(grouped(comparisons)) / count,
        "fewer_tokens": reference / packed,
        "fewer_by_packing": reference / full,
        "fewer_by_sharing": full / packed,
        "images": sum(len(item.images) for item in ours) / count,
        "images_reference": sum(len(item.images) * len(item.response_ids) for item in comparisons) / count,
    }


def flop_ratio(
    comparisons: Sequence[EncodedComparison], size: ModelSize, groups: Sequence[EncodedComparison] | None = None
) -> float:
    """FLOPs of the padded way over those of the packed way: the speed-up of equally efficient code.

    Forward passes; a backward pass takes twice as many on either side. Padding tokens count, for they are computed.

    Args:
        groups: as for `counts`.
    """
    flops, reference = Flops.of(size.config()), 0.0
    for batch in micro_batches(comparisons):
        longest = max(item.length for item in batch)
        reference += sum(flops.forward_separate(*_sizes(item), padded_to=longest) for item in batch)
    return reference / sum(flops.forward(*_sizes(item)) for item in (comparisons if groups is None else groups))


def _sizes(item: EncodedComparison) -> tuple[int, list[int], list[tuple[int, int, int]]]:
    """Tokens of the prompt and of each response, and grids of the images."""
    return len(item.prefix_ids), [len(ids) for ids in item.response_ids], [image.grid for image in item.images]
