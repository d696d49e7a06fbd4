"""One model with the average of several models' weights."""

from pathlib import Path

import pytest
import torch
from toys import toy_reward_model

from data_pipeline.errors import RecipeError
from rm_core.ensembles.averaging import average_weights
from rm_core.model.config import HeadConfig
from rm_core.model_folder import weight_files as shards
from rm_core.model_folder.folder import load_reward_model, save_reward_model, verify_folder


def write(folder: Path, seed: int, *, dtype: torch.dtype = torch.float32, head: HeadConfig | None = None) -> str:
    model = toy_reward_model(seed=seed, head=head)
    weights = [  # the head stays in float32, as in an export
        (name, value if name.startswith("head.") else value.to(dtype)) for name, value in model.state_dict().items()
    ]
    save_reward_model(
        str(folder), model.backbone, model.head_config, weights, processor_from="nowhere", lineage={"seed": seed}
    )
    return str(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_each_weight_is_the_weighted_mean(dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = write(tmp_path / "one", 1, dtype=dtype)
    monkeypatch.setattr(shards, "SHARD_BYTES", 20_000)
    other = write(tmp_path / "other", 2, dtype=dtype)
    assert len(list((tmp_path / "other").glob("model-*.safetensors"))) > 2, "spread over other files"
    for models, shares in ([one, other], [3, 1]), ([other, one], [1, 3]):
        output = str(tmp_path / f"mean-{Path(models[0]).name}")
        average_weights(models, shares, output, lineage={"recipe": "soup"})
        mean = load_reward_model(output, dtype=dtype).state_dict()
        first, second = (load_reward_model(folder, dtype=dtype).state_dict() for folder in (one, other))
        for name, value in mean.items():
            expected = (0.75 * first[name].float() + 0.25 * second[name].float()).to(value.dtype)
            torch.testing.assert_close(value, expected)
    assert verify_folder(output) == {
        "recipe": "soup",
        "average_of": [
            {"model": other, "share": 0.25, "lineage": {"seed": 2}},
            {"model": one, "share": 0.75, "lineage": {"seed": 1}},
        ],
    }


def test_models_that_have_no_average_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one", 1)
    other = write(tmp_path / "other", 1, head=HeadConfig(layers=1))
    with pytest.raises(RecipeError, match=r"other' cannot be averaged with .*one': reward_head\.json differ"):
        average_weights([one, other], [1, 1], str(tmp_path / "mean"), lineage={})
    for models, shares in ([one], [1]), ([one, one], [1]), ([one, one], [1, 0]):
        with pytest.raises(RecipeError, match="two models or more and a share above 0"):
            average_weights(models, shares, str(tmp_path / "mean"), lineage={})
    assert not (tmp_path / "mean").exists()


def test_a_weight_of_another_shape_is_named(tmp_path: Path) -> None:
    one = write(tmp_path / "one", 1)
    model = toy_reward_model(seed=2)
    weights = dict(model.state_dict())
    head = next(name for name in model.state_dict() if name.startswith("head."))
    weights[head] = torch.zeros(3, 3)
    other = tmp_path / "other"
    save_reward_model(
        str(other), model.backbone, model.head_config, weights.items(), processor_from="nowhere", lineage={}
    )
    with pytest.raises(RecipeError, match=r"cannot be averaged with .*: .* has shape \[3, 3\]"):
        average_weights([one, str(other)], [1, 1], str(tmp_path / "mean"), lineage={})
