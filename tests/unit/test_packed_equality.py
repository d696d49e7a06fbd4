"""The promise of the packed row: rewards and all gradients equal those of K separate rows."""

import torch
from toys import IMAGE_TOKEN, ROW_FORMAT, toy_comparison, toy_image, toy_reward_model

from data_pipeline.encode import EncodedComparison
from rm_core.batches.packed import collate
from rm_core.batches.pixels import patches_of
from rm_core.model.reward_model import RewardModel

SHARED = toy_image(7, 56, 84)
COMPARISONS = [
    toy_comparison(0, images=(toy_image(0),), ranks=(0, 1)),
    toy_comparison(1, ranks=(1, 0, 2, 1)),
    toy_comparison(2, images=(toy_image(1, 84, 56), SHARED), ranks=(2, 0, 1)),
    toy_comparison(3, images=(SHARED,), ranks=(0, 0, 1)),
    toy_comparison(4, ranks=(0, 1), response_images=(toy_image(2), toy_image(3))),
]


def separate_rewards(model: RewardModel, comparison: EncodedComparison) -> torch.Tensor:
    """What a peer does: one full row per response, with Transformers' own positions, mask and image placement."""
    backbone = model.backbone
    num_prefix = len(comparison.images) - sum(int((ids == IMAGE_TOKEN).any()) for ids in comparison.response_ids)
    in_responses = list(comparison.images[num_prefix:])
    rewards = []
    for ids in comparison.response_ids:
        images = [*comparison.images[:num_prefix]]
        if (ids == IMAGE_TOKEN).any():
            images.append(in_responses.pop(0))
        row = torch.from_numpy(comparison.prefix_ids).long()
        row = torch.cat([row, torch.from_numpy(ids).long()])[None]
        inputs = {"input_ids": row, "attention_mask": torch.ones_like(row)}
        if images:
            inputs["pixel_values"] = torch.cat([torch.from_numpy(patches_of(image)) for image in images])
            inputs["image_grid_thw"] = torch.tensor([image.grid for image in images])
            inputs["mm_token_type_ids"] = (row == IMAGE_TOKEN).int()
        text_config = backbone.language_model.config
        packed_attention = text_config._attn_implementation
        text_config._attn_implementation = "sdpa"
        try:
            hidden = backbone(**inputs).last_hidden_state
        finally:
            text_config._attn_implementation = packed_attention
        backbone.rope_deltas = None
        rewards.append(model.head(hidden[0, -1:])[0])
    return torch.stack(rewards)


def gradients(model: RewardModel, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert len(found) == len(list(model.parameters())), "some parameters got no gradient"
    return found


def test_rewards_and_gradients_equal_separate_rows() -> None:
    model = toy_reward_model()
    weights = torch.randn(sum(len(item.ranks) for item in COMPARISONS), generator=torch.Generator().manual_seed(0))
    packed = model(collate(COMPARISONS, row_format=ROW_FORMAT))
    packed_gradients = gradients(model, (packed * weights).sum())
    separate = torch.cat([separate_rewards(model, item) for item in COMPARISONS])
    separate_gradients = gradients(model, (separate * weights).sum())
    torch.testing.assert_close(packed, separate, rtol=1e-5, atol=1e-5)
    for name, gradient in separate_gradients.items():
        torch.testing.assert_close(packed_gradients[name], gradient, rtol=1e-5, atol=1e-5, msg=name)


def test_recomputed_activations_change_nothing() -> None:
    batch = collate(COMPARISONS, row_format=ROW_FORMAT)
    model = toy_reward_model()
    plain = gradients(model, model(batch).sum())
    model.backbone.activation_checkpointing_enable()
    model.train()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    model.backbone.language_model.layers[0].mlp.register_forward_pre_hook(count)
    recomputed = gradients(model, model(batch).sum())
    assert calls == 2, "activations were kept: checkpointing is off"
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-6, atol=1e-6, msg=name)


def test_a_comparison_does_not_see_its_neighbours() -> None:
    model = toy_reward_model().eval()
    alone = torch.cat([model(collate([item], row_format=ROW_FORMAT)) for item in COMPARISONS])
    together = model(collate(COMPARISONS[::-1], row_format=ROW_FORMAT))
    sizes = [len(item.ranks) for item in COMPARISONS[::-1]]
    together = torch.cat(list(together.split(sizes))[::-1])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_a_response_sees_the_prompt_but_not_its_siblings() -> None:
    model = toy_reward_model().eval()
    item = COMPARISONS[1]
    before = model(collate([item], row_format=ROW_FORMAT))
    changed = list(item.response_ids)
    changed[0] = changed[0] % 8 + 4
    after = model(collate([_with(item, response_ids=tuple(changed))], row_format=ROW_FORMAT))
    torch.testing.assert_close(after[1:], before[1:], rtol=1e-5, atol=1e-5)
    assert abs(after[0] - before[0]) > 1e-4
    moved = model(collate([_with(item, prefix_ids=item.prefix_ids % 8 + 4)], row_format=ROW_FORMAT))
    assert (moved - before).abs().min() > 1e-5


def test_a_shared_image_is_encoded_once() -> None:
    batch = collate(COMPARISONS, row_format=ROW_FORMAT)
    spans = sum(len(item.images) for item in COMPARISONS)
    assert spans == 6 and batch.image_grid.shape == (5, 3)
    assert batch.pixel_values.shape[0] == sum(
        image.num_patches for image in {image.key: image for item in COMPARISONS for image in item.images}.values()
    )


def test_an_empty_row_gives_no_reward_and_zero_gradients() -> None:
    model = toy_reward_model()
    batch = collate([], row_format=ROW_FORMAT)
    assert (batch.num_tokens, batch.num_comparisons) == (0, 0)
    rewards = model(batch)
    assert rewards.shape == (0,)
    found = gradients(model, rewards.sum())
    assert all(not gradient.any() for gradient in found.values())


def test_another_attention_is_refused() -> None:
    model = toy_reward_model()
    model.backbone.language_model.config._attn_implementation = "sdpa"
    try:
        model(collate(COMPARISONS[:1], row_format=ROW_FORMAT))
    except RuntimeError as error:
        assert "sdpa" in str(error)
    else:
        raise AssertionError("the packed row ran without the packed attention")


def _with(item: EncodedComparison, **changes: object) -> EncodedComparison:
    return EncodedComparison(**{**{name: getattr(item, name) for name in item.__dataclass_fields__}, **changes})
