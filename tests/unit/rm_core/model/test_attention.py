"""Every kernel computes the rule of `block_mask`, forwards and backwards, and what ran is counted."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from varlen_loops import varlen_by_loops

from data_pipeline.errors import RecipeError
from rm_core.batches.attention_indices import MAKERS, TILE, tiles_of
from rm_core.batches.layout import Block, BlockLayout, block_mask
from rm_core.batches.vision_indices import groups_of
from rm_core.model.attention import KERNELS, RowAttention, Work, WorkDone, choose_kernel, flex
from rm_core.model.vision_tower import attend_in_groups

HEADS, KEY_HEADS, SIZE = 4, 2, 8
LAYOUTS = {
    "one pair": [(5, (3, 4))],
    "one response": [(5, (3,))],
    "no response": [(9, ())],
    "mixed": [(40, (30, 1, 17)), (1, (1, 1)), (130, (90, 4)), (3, ()), (60, (2,) * 8)],
    "long responses": [(20, (150, 140))],
}


def layout_of(sizes: list[tuple[int, tuple[int, ...]]], alignment: int = 1) -> BlockLayout:
    blocks: list[Block] = []
    for prefix, responses in sizes:
        blocks.append(Block(blocks[-1].stop if blocks else 0, prefix, responses))
    if filler := -blocks[-1].stop % alignment:
        blocks.append(Block(blocks[-1].stop, filler, ()))
    return BlockLayout(tuple(blocks))


def rule_of(layout: BlockLayout) -> Tensor:
    """The whole row's mask, bool [T, T]."""
    mask = torch.zeros(layout.num_tokens, layout.num_tokens, dtype=torch.bool)
    for block in layout.blocks:
        mask[block.start : block.stop, block.start : block.stop] = block_mask(block)
    return mask


def row(num_tokens: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(num_tokens)
    return [
        torch.randn(1, heads, num_tokens, SIZE, generator=random, requires_grad=True)
        for heads in (HEADS, KEY_HEADS, KEY_HEADS)
    ]


def attention_of(name: str, layout: BlockLayout) -> Callable[..., Tensor]:
    """By the kernel, on the CPU; a stand-in for FlashAttention."""
    more = {"flash": {"varlen": varlen_by_loops}}.get(name, {})
    return KERNELS[name].prepare(layout, MAKERS[name](layout), **more)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("sizes", LAYOUTS.values(), ids=LAYOUTS)
def test_a_kernel_computes_the_rule(name: str, sizes: list[tuple[int, tuple[int, ...]]]) -> None:
    layout = layout_of(sizes, KERNELS[name].alignment)
    query, key, value = row(layout.num_tokens)
    weights = torch.randn(1, HEADS, layout.num_tokens, SIZE, generator=torch.Generator().manual_seed(1))
    expected = scaled_dot_product_attention(query, key, value, attn_mask=rule_of(layout), scale=0.3, enable_gqa=True)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), (query, key, value))
    attend = attention_of(name, layout)
    if name == "flex":  # on CPUs PyTorch has its forward pass only
        attended = attend(query.detach(), key.detach(), value.detach(), 0.3, 0.0)
        torch.testing.assert_close(attended, expected, rtol=1e-5, atol=1e-6)
        return
    found = attend(query, key, value, 0.3, 0.0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad((found * weights).sum(), (query, key, value))
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", LAYOUTS.values(), ids=LAYOUTS)
def test_tiles_of_the_block_mask_are_full_only_where_the_rule_says_so(sizes: list[tuple[int, tuple[int, ...]]]) -> None:
    layout = layout_of(sizes, TILE)
    mask = flex.block_mask_of(layout.num_tokens, tiles_of(layout))
    side = layout.num_tokens // TILE
    tiles = rule_of(layout).reshape(side, TILE, side, TILE)
    listed = {"some": (mask.kv_num_blocks, mask.kv_indices), "all": (mask.full_kv_num_blocks, mask.full_kv_indices)}
    expected = {"all": tiles.all(dim=3).all(dim=1)}
    expected["some"] = tiles.any(dim=3).any(dim=1) & ~expected["all"]
    for kind, (counts, indices) in listed.items():
        assert counts is not None and indices is not None
        found = torch.zeros(side, side, dtype=torch.bool)
        for query in range(side):
            found[query, indices[0, 0, query, : int(counts[0, 0, query])].long()] = True
        assert torch.equal(found, expected[kind]), kind


def test_long_rows_have_empty_and_full_tiles() -> None:
    layout = layout_of([(700, (300, 400)), (600, (200,))], TILE)
    mask = flex.block_mask_of(layout.num_tokens, tiles_of(layout))
    counts, full = mask.kv_num_blocks.sum(), mask.full_kv_num_blocks
    assert full is not None and full.sum() > 10
    assert counts + full.sum() < 18 * 19 // 2


def test_a_row_that_is_not_aligned_is_refused() -> None:
    with pytest.raises(ValueError, match="no multiple of 128"):
        tiles_of(layout_of([(5, (3,))]))


def test_a_row_that_was_made_for_another_kernel_is_refused() -> None:
    layout = layout_of([(5, (3,))])
    with pytest.raises(TypeError, match="carries OwnStarts and the kernel 'flash' reads Sequences: make rows with"):
        RowAttention(KERNELS["flash"], layout, MAKERS["sdpa"](layout), Work())


def test_kernels_refuse_a_machine_that_cannot_run_them() -> None:
    cpu = torch.device("cpu")
    assert choose_kernel("auto", cpu, torch.float32).name == "sdpa"
    for name in ("flex", "flash"):
        with pytest.raises(RecipeError, match=f"train.attention='{name}' cannot run here: it needs a CUDA GPU"):
            choose_kernel(name, cpu, torch.bfloat16)
    with pytest.raises(RecipeError, match="train.attention='fast' is unknown"):
        choose_kernel("fast", cpu, torch.float32)


@pytest.mark.parametrize("lengths", [[4], [4, 4, 4], [4, 2, 4, 1, 2], [1, 64, 16, 64]])
def test_chunks_attend_to_themselves(lengths: list[int]) -> None:
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(sum(lengths), 2, SIZE, generator=random, requires_grad=True) for _ in range(3))
    found = attend_in_groups(groups_of(lengths), query, key, value, 0.5)
    parts = []
    for q, k, v in zip(*(tensor.split(lengths) for tensor in (query, key, value)), strict=True):
        weights = torch.softmax(torch.einsum("qhd,khd->hqk", q, k) * 0.5, dim=-1)
        parts.append(torch.einsum("hqk,khd->qhd", weights, v))
    expected = torch.cat(parts)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(
        torch.autograd.grad(found.square().sum(), (query, key, value)),
        torch.autograd.grad(expected.square().sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_work_is_counted_once_whatever_is_recomputed() -> None:
    work = Work()
    for tokens, filler, patches in ((10, 2, 16), (7, 0, 4)):
        work.begin()
        for _ in range(3):
            work.block(patches)
        work.layer(tokens, "sdpa")
        work.layer(tokens, "sdpa")
        work.end(num_layers=2, num_blocks=3, filler=filler, blank=patches == 4)
        work.block(patches)
        work.layer(tokens, "sdpa")  # the backward pass recomputes
    assert work.take() == WorkDone(15, 16, "sdpa")
    assert work.take() == WorkDone(0, 0, "")


def test_a_layer_that_ran_something_else_is_noticed() -> None:
    work = Work()
    work.begin()
    work.layer(10, "sdpa")
    with pytest.raises(RuntimeError, match="ran in 1 of 2 layers"):
        work.end(num_layers=2, num_blocks=0, filler=0, blank=True)
    work.begin()
    work.block(16)
    work.layer(10, "sdpa")
    with pytest.raises(RuntimeError, match=r"the tower ran 1 of 2 blocks, over \[16\] patches"):
        work.end(num_layers=1, num_blocks=2, filler=0, blank=False)
    work.take()
    for kernel in ("sdpa", "flex"):
        work.begin()
        work.layer(5, kernel)
        work.end(num_layers=1, num_blocks=0, filler=0, blank=True)
    with pytest.raises(RuntimeError, match=r"several attention kernels: \['flex', 'sdpa'\]"):
        work.take()
