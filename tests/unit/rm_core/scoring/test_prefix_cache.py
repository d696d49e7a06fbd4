"""Prefixes found again: rewards are those of whole rows, responses alone are computed, memory is bounded."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from toys import prepared_for, toy_comparison, toy_image, toy_reward_model, with_targets
from varlen_loops import varlen_by_loops

from data_pipeline.encoding.encoded import EncodedComparison, Questions
from rm_core.batches.layout import Block, BlockLayout
from rm_core.batches.packed import collate
from rm_core.batches.pixels import patches_of
from rm_core.model.attention import KERNELS, PrefixStates, RowPrefixes, sdpa
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import Output, RewardModel
from rm_core.scoring.prefix_cache import PrefixCache, prefix_key

FAMILIES = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "internvl", "qwen2", "qwen3")
SHARED = toy_image(7, 56, 84)
ITEMS = [
    toy_comparison(0, images=(toy_image(0), SHARED), ranks=(0, 1), response_images=(toy_image(1), SHARED)),
    toy_comparison(1, ranks=(1, 0, 2, 1), prefix_text=40),
    toy_comparison(2, images=(SHARED,), ranks=(0,)),
    toy_comparison(3, images=(toy_image(3, 84, 56),), ranks=(0, 0, 1)),
]


def items_for(model: RewardModel) -> list[EncodedComparison]:
    """What the family can read."""
    if model.family.has_vision:
        return [prepared_for(model.row_format.images, item) for item in ITEMS]
    return [ITEMS[1], toy_comparison(5, ranks=(0, 1)), toy_comparison(6, ranks=(0,))]


def run(model: RewardModel, items: Sequence[EncodedComparison], prefixes: RowPrefixes, **how: Any) -> torch.Tensor:
    row_format = replace(model.row_format, targets=model.judges)
    with torch.inference_mode():
        found = model(collate(items, row_format=row_format, known=prefixes.known, **how), prefixes)
    return found.rewards if isinstance(found, Output) else found


def states_of(model: RewardModel, items: Sequence[EncodedComparison]) -> dict[int, PrefixStates]:
    """Of the prefixes of all of them."""
    keeping = RowPrefixes(keep=range(len(items)))
    run(model, items, keeping)
    return keeping.kept()


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_rewards_behind_known_prefixes_are_those_of_whole_rows(model_type: str, pooling: str) -> None:
    model = toy_reward_model(model_type=model_type, head=HeadConfig(pooling=pooling)).eval()
    items = items_for(model)
    states = states_of(model, items)
    whole = run(model, items, RowPrefixes())
    model.work.take()
    for known in (range(len(items)), [0], [1, len(items) - 1]):
        found = run(model, items, RowPrefixes(known={place: states[place] for place in known}))
        torch.testing.assert_close(found, whole, rtol=1e-6, atol=1e-6)
        computed = sum(item.num_tokens for item in items) - sum(len(items[place].prefix_ids) for place in known)
        assert model.work.take().tokens == computed, "prefixes went through no layer"


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_attends_to_known_prefixes(kernel: str) -> None:
    model = toy_reward_model().eval()
    items = items_for(model)
    whole, states = run(model, items, RowPrefixes()), states_of(model, items)
    prepare = KERNELS[kernel].prepare
    if kernel == "flash":
        prepare = partial(prepare, varlen=varlen_by_loops)
    model._kernel = replace(KERNELS[kernel], prepare=prepare)
    for prefixes in (RowPrefixes(known={0: states[0], 3: states[3]}), RowPrefixes(known=states), RowPrefixes()):
        torch.testing.assert_close(run(model, items, prefixes), whole, rtol=1e-5, atol=1e-5)


def test_a_judge_finds_prompts_again() -> None:
    model = toy_reward_model(writes="tied", judges=True).eval()
    both = Questions(((0, 1), (1, 0)), (0, 1), (0.5, 0.5), (3, 3), (9, 10))
    items = [replace(item, questions=both, response_ids=item.response_ids[:2]) for item in (ITEMS[1], ITEMS[3])]
    states = states_of(model, items)
    whole = run(model, items, RowPrefixes())
    torch.testing.assert_close(run(model, items, RowPrefixes(known=states)), whole, rtol=1e-6, atol=1e-6)


def test_queries_of_known_prefixes_are_not_computed_by_sdpa() -> None:
    model = toy_reward_model().eval()
    states, asked = states_of(model, ITEMS), []
    attend = sdpa.scaled_dot_product_attention

    def counting(query: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        asked.append(query.shape[2])
        return attend(query, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdpa, "scaled_dot_product_attention", counting)
        run(model, ITEMS, RowPrefixes(known={0: states[0], 1: states[1]}))
    layers = len(model.backbone.language_model.layers)
    computed = sum(item.num_tokens for item in ITEMS) - sum(len(item.prefix_ids) for item in ITEMS[:2])
    assert sum(asked) == computed * layers


def test_a_model_that_runs_alone_sends_no_blank_image_through_its_tower() -> None:
    model = toy_reward_model().eval()
    items = [ITEMS[1], toy_comparison(5, ranks=(0, 1))]
    with_tower = run(model, items, RowPrefixes())
    blocks: list[int] = []
    for block in model.backbone.visual.blocks:
        block.register_forward_hook(lambda *_: blocks.append(1))
    run(model, items, RowPrefixes())
    assert blocks, "ranks that share weights run it together"
    blocks.clear()
    model.run_alone()
    torch.testing.assert_close(run(model, items, RowPrefixes()), with_tower, rtol=0, atol=0)
    assert not blocks
    run(model, ITEMS, RowPrefixes())
    assert blocks, "a row with images needs it"


def test_images_of_known_prompts_are_not_even_read() -> None:
    model = toy_reward_model().eval()
    states = states_of(model, ITEMS[2:])
    read = []

    def load(span: Any) -> Any:
        read.append(span.key)
        return patches_of(span)

    run(model, ITEMS[2:], RowPrefixes(known={1: states[1]}), load_image=load)
    assert read == [SHARED.key]
    run(model, ITEMS[2:], RowPrefixes(known=states), load_image=load)
    assert read == [SHARED.key], "the tower sees a blank image alone"


def test_a_row_that_leaves_out_other_prefixes_than_are_known_is_refused() -> None:
    model = toy_reward_model().eval()
    states = states_of(model, ITEMS)
    batch = collate(ITEMS, row_format=model.row_format, known=[0])
    for prefixes, message in (
        (None, "known are {}"),
        (RowPrefixes(), "known are {}"),
        (RowPrefixes(known={1: states[1]}), "leaves out prefixes"),
        (RowPrefixes(known={0: states[1]}), "leaves out prefixes"),
        (RowPrefixes(known={0: states[0]}, keep=[0]), r"no prefixes of the Comparisons \[0\]"),
        (RowPrefixes(known={0: states[0]}, keep=[9]), r"no prefixes of the Comparisons \[9\]"),
    ):
        with torch.inference_mode(), pytest.raises(ValueError, match=message):
            model(batch, prefixes)
    with pytest.raises(ValueError, match="a target that its prefix predicts"):
        collate([with_targets(ITEMS[1], 1.0)], row_format=model.row_format, known=[0])


def put(cache: PrefixCache, name: str, tokens: int) -> None:
    """A prefix of 16 bytes a token that was not there."""
    key = (name, b"ids", ())
    prefixes = cache.find([key])
    own = torch.zeros(1, 1, tokens, 2)
    prefixes.see(BlockLayout((Block(0, tokens, ()),)), own, own)
    cache.keep([key], prefixes)


def known(cache: PrefixCache, names: str) -> str:
    found = cache.find([(name, b"ids", ()) for name in names]).known
    return "".join(names[place] for place in found)


def test_the_prefix_that_was_not_asked_for_longest_goes_first() -> None:
    cache = PrefixCache(100 * 16)
    put(cache, "a", 40)
    put(cache, "b", 40)
    assert known(cache, "a") == "a"
    put(cache, "c", 40)
    assert (cache.num_bytes, len(cache), cache.tokens_found) == (80 * 16, 2, 40)
    assert known(cache, "abc") == "ac", "b was not asked for longest"
    put(cache, "d", 101)
    assert len(cache) == 2 and known(cache, "d") == "", "what is larger than the cache is not kept"
    assert cache.tokens_found == 2 * 40, "of the model that found most: a, twice"


def test_prefixes_are_told_apart_by_all_that_the_model_sees() -> None:
    item = ITEMS[3]
    key = prefix_key(item, item.images)
    assert key == prefix_key(replace(item, id="other", images=(replace(item.images[0], data=b""),)), item.images)
    others = [
        prefix_key(replace(item, prefix_ids=item.prefix_ids[::-1]), item.images),
        prefix_key(item, (toy_image(4, 84, 56),)),
        prefix_key(item, (replace(item.images[0], height=56, width=84),)),
        prefix_key(item, ()),
    ]
    assert len({key, *others}) == 5
