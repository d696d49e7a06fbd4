"""The promise of the packed row: rewards and every parameter's gradient equal those of K separate rows."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from separate_rows import assert_equal_gradients, gradients, separate_rewards
from toys import IMAGE_TOKEN, ROW_FORMAT, prepared_for, toy_comparison, toy_config, toy_image, toy_reward_model

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.errors import RecipeError, RunError
from data_pipeline.media import QWEN3_VL
from rm_core.batches.packed import collate
from rm_core.batches.positions import RowFormat
from rm_core.model.attention import Work, WorkDone
from rm_core.model.config import HeadConfig
from rm_core.model.families import row_format_of
from rm_core.model.reward_model import RewardModel
from rm_core.model.running import Running

SHARED = toy_image(7, 56, 84)
COMPARISONS = [
    toy_comparison(0, images=(toy_image(0),), ranks=(0, 1)),
    toy_comparison(1, ranks=(1, 0, 2, 1)),
    toy_comparison(2, images=(toy_image(1, 84, 56), SHARED), ranks=(2, 0, 1)),
    toy_comparison(3, images=(SHARED,), ranks=(0, 0, 1)),
    toy_comparison(4, ranks=(0, 1), response_images=(toy_image(2), toy_image(3))),
]
ROWS = {f"K = {size}": [toy_comparison(size, ranks=tuple(range(size)))] for size in range(1, 9)} | {
    "K = 1 to 8 in one row": [toy_comparison(20 + size, ranks=tuple(range(size))) for size in range(1, 9)],
    "text and images mixed": COMPARISONS,
    "one image": [toy_comparison(30, images=(toy_image(30, 140, 112),), ranks=(0, 1, 2))],
    "several images of other sizes": [
        toy_comparison(31, images=(toy_image(31, 28, 28), toy_image(32, 168, 140), toy_image(33, 112, 252)))
    ],
    "images in prompt and responses": [
        toy_comparison(34, images=(toy_image(34),), response_images=(toy_image(35, 84, 28), SHARED), ranks=(0, 1, 1))
    ],
    "long responses": [toy_comparison(36, ranks=(0, 1, 2), response_text=60), toy_comparison(37, prefix_text=70)],
}
FAMILIES = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "internvl", "qwen2", "qwen3")


def check(model: RewardModel, row: list[EncodedComparison], *, row_format: RowFormat | None = None) -> None:
    """Rewards and gradients of the packed row against those of separate rows, under random weights of the rewards."""
    row_format = row_format or model.row_format
    row = [prepared_for(row_format.images, item) for item in row]
    packed = model(collate(row, row_format=row_format))
    weights = torch.randn(packed.shape, generator=torch.Generator().manual_seed(0))
    packed_gradients = gradients(model, (packed * weights).sum())
    separate = torch.cat([separate_rewards(model, item) for item in row])
    torch.testing.assert_close(packed, separate, rtol=1e-5, atol=1e-5)
    assert_equal_gradients(packed_gradients, gradients(model, (separate * weights).sum() + _touch(model, row)))


def _touch(model: RewardModel, row: list[EncodedComparison]) -> torch.Tensor:
    """Transformers leaves the tower of a text row without gradients; the packed row gives it zeros."""
    if any(item.images for item in row):
        return torch.zeros(())
    return sum((parameter.sum() * 0.0 for parameter in model.parameters()), torch.zeros(()))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_rewards_and_gradients_equal_separate_rows(row: list[EncodedComparison]) -> None:
    check(toy_reward_model(), row)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_family_is_equal(model_type: str) -> None:
    model = toy_reward_model(model_type=model_type)
    check(model, COMPARISONS if model.family.has_vision else [COMPARISONS[1], ROWS["K = 3"][0], ROWS["K = 1"][0]])


@pytest.mark.parametrize(
    "name", ["K = 3", "one image", "several images of other sizes", "images in prompt and responses"]
)
def test_qwen3_vl_is_equal_in_rows_of_one_kind(name: str) -> None:
    check(toy_reward_model(model_type="qwen3_vl"), ROWS[name])


@pytest.mark.parametrize("decoder", ["qwen2", "qwen3"])
@pytest.mark.parametrize("name", ["one image", "several images of other sizes", "images in prompt and responses"])
def test_internvl_is_equal_with_either_decoder(name: str, decoder: str) -> None:
    check(toy_reward_model(config=toy_config("internvl", decoder)), ROWS[name])


def test_internvl_is_equal_as_its_largest_tower_normalises() -> None:
    config = toy_config("internvl")
    vision = config.vision_config
    vision.norm_type, vision.use_qk_norm, vision.attention_bias, vision.use_mean_pooling = (
        "rms_norm",
        True,
        False,
        False,
    )
    check(toy_reward_model(config=config), COMPARISONS)


def test_frequencies_that_change_with_the_length_are_the_plain_ones_up_to_there() -> None:
    config = toy_config("internvl")
    config.text_config.max_position_embeddings = 64
    config.text_config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    model = toy_reward_model(config=config)
    check(model, ROWS["images in prompt and responses"])
    longer = [toy_comparison(38, prefix_text=60, ranks=(0, 1)), COMPARISONS[1]]
    with pytest.raises(RunError, match=r"\['toy-38'\] have more than 64 tokens .*: set preprocess.rules.max_tokens=64"):
        collate(longer, row_format=model.row_format)


def test_a_tile_does_not_see_the_others() -> None:
    model = toy_reward_model(model_type="internvl").eval()
    row = collate([prepared_for(model.row_format.images, COMPARISONS[2])], row_format=model.row_format)
    features = model.family.image_features
    before = features(model.backbone, row, torch.float32, running=Running(), work=Work())[0]
    row.pixel_values[:16] += 1.0
    change = (features(model.backbone, row, torch.float32, running=Running(), work=Work())[0] - before).abs()
    assert change[:4].min(dim=1).values.max() > 0 and change[:4].max() > 1e-3 and not change[4:].any()


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("config", "downsample_ratio", 1.0),
        ("config", "vision_feature_layer", -2),
        ("vision_config", "hidden_dropout_prob", 0.1),
        ("vision_config", "use_absolute_position_embeddings", False),
    ],
)
def test_an_internvl_that_would_be_another_is_refused(where: str, name: str, value: Any) -> None:
    config = toy_config("internvl")
    setattr(config if where == "config" else config.vision_config, name, value)
    with pytest.raises(RecipeError, match=rf"has (vision_config\.)?{name}={value}: only"):
        row_format_of(config)


def test_a_decoder_that_is_not_known_is_refused() -> None:
    with pytest.raises(RecipeError, match="decoder is a llama; InternVL is known with qwen2 and qwen3"):
        row_format_of(toy_config("internvl", "llama"))


def test_features_of_middle_blocks_reach_image_tokens_and_no_others() -> None:
    model = toy_reward_model(model_type="qwen3_vl").eval()
    row = [prepared_for(QWEN3_VL, COMPARISONS[0]), COMPARISONS[1]]
    before = model(collate(row, row_format=model.row_format))
    with torch.no_grad():
        for merger in model.backbone.visual.deepstack_merger_list:
            merger.linear_fc2.weight.mul_(2.0)
    change = (model(collate(row, row_format=model.row_format)) - before).abs()
    assert change[:2].min() > 1e-5 and not change[2:].any()


def test_pictures_of_another_family_are_refused() -> None:
    model = toy_reward_model(model_type="qwen3_vl")
    with pytest.raises(
        RunError, match="sees pictures as 'qwen3-vl', .*'toy-0'.* prepared for qwen2.5-vl: .*family=qwen"
    ):
        collate(COMPARISONS[:1], row_format=model.row_format)
    with pytest.raises(TypeError, match="got indices with windows"):
        model(collate(COMPARISONS[:1], row_format=ROW_FORMAT))
    with pytest.raises(TypeError, match="got indices without learnt places"):
        model(collate(COMPARISONS[:1], row_format=replace(ROW_FORMAT, window=0)))


def test_as_many_middle_blocks_as_decoder_layers_are_refused() -> None:
    config = toy_config("qwen3_vl")
    config.vision_config.deepstack_visual_indexes = [0, 1, 2]
    with pytest.raises(RecipeError, match="features of 3 blocks .* and has 3"):
        row_format_of(config)


@pytest.mark.parametrize(
    "head",
    [HeadConfig(pooling="mean"), HeadConfig(uncertainty=True, layers=1), HeadConfig(layers=5, activation="gelu")],
)
def test_every_head_is_equal(head: HeadConfig) -> None:
    check(toy_reward_model(head=head), COMPARISONS)


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "qwen3_vl", "internvl"])
@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_recomputed_activations_change_nothing(recompute: str, model_type: str) -> None:
    model = toy_reward_model(model_type=model_type).train()
    model.recompute_activations(recompute)
    check(model, COMPARISONS)


def test_fillers_change_nothing() -> None:
    aligned = replace(ROW_FORMAT, alignment=128)
    batch = collate(COMPARISONS, row_format=aligned)
    assert len(batch.input_ids) % 128 == 0 and 0 < batch.num_filler < 128
    assert batch.num_tokens == sum(item.num_tokens for item in COMPARISONS)
    check(toy_reward_model(), COMPARISONS, row_format=aligned)


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
    after = model(collate([replace(item, response_ids=tuple(changed))], row_format=ROW_FORMAT))
    torch.testing.assert_close(after[1:], before[1:], rtol=1e-5, atol=1e-5)
    assert abs(after[0] - before[0]) > 1e-4
    moved = model(collate([replace(item, prefix_ids=item.prefix_ids % 8 + 4)], row_format=ROW_FORMAT))
    assert (moved - before).abs().min() > 1e-5


def test_a_shared_image_is_encoded_once() -> None:
    batch = collate(COMPARISONS, row_format=ROW_FORMAT)
    spans = [image for item in COMPARISONS for image in item.images]
    assert len(spans) == 6 and batch.image_grid.shape == (5, 3)
    distinct = {image.key: image.num_patches for image in spans}
    assert batch.num_distinct_patches == len(batch.pixel_values) == sum(distinct.values())
    assert batch.num_patches == sum(image.num_patches for image in spans) > batch.num_distinct_patches


def test_an_empty_row_gives_no_reward_and_zero_gradients() -> None:
    model = toy_reward_model()
    for row_format, length in ((ROW_FORMAT, 1), (replace(ROW_FORMAT, alignment=128), 128)):
        batch = collate([], row_format=row_format)
        assert (len(batch.input_ids), batch.num_tokens, batch.num_comparisons) == (length, 0, 0)
        rewards = model(batch)
        assert rewards.shape == (0,)
        found = gradients(model, rewards.sum())
        assert all(not gradient.any() for gradient in found.values())
        assert model.work.take() == WorkDone(0, 0, "sdpa")


def test_another_attention_is_refused() -> None:
    model = toy_reward_model()
    model.backbone.language_model.config._attn_implementation = "sdpa"
    with pytest.raises(RuntimeError, match="runs 'sdpa', not 'basereward_comparison'"):
        model(collate(COMPARISONS[:1], row_format=ROW_FORMAT))


def test_a_layer_without_the_packed_attention_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_reward_model()
    layer = model.family.decoder(model.backbone).layers[0]
    monkeypatch.setattr(layer, "forward", lambda hidden_states, **_: hidden_states)
    with pytest.raises(RuntimeError, match="ran in 1 of 2 layers"):
        model(collate(COMPARISONS[:1], row_format=ROW_FORMAT))


def test_a_text_backbone_refuses_images() -> None:
    model = toy_reward_model(model_type="qwen3")
    with pytest.raises(RunError, match=r"text only, but \('toy-0',\) have images"):
        collate(COMPARISONS[:1], row_format=model.row_format)
    assert IMAGE_TOKEN in COMPARISONS[0].prefix_ids
