"""A model that writes, in a folder: its language head and its paradigm come back; what does not fit is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from toys import row_for, toy_comparison, toy_reward_model, with_targets

from data_pipeline.config import PreprocessConfig
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from rm_core.interop.export_model import export_model
from rm_core.model.backbone import load_backbone
from rm_core.model.config import InitModelConfig
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.fixture import read_fixture, write_fixture
from rm_core.model_folder.folder import load_reward_model, save_reward_model
from rm_core.model_folder.initialise import initialise_model
from rm_core.model_folder.language_head import read_language_head
from rm_core.model_folder.paradigm import check_paradigm, paradigm_of
from rm_core.model_folder.verify import verify_export

ITEMS = [with_targets(toy_comparison(seed)) for seed in range(4)]


def save(model: RewardModel, folder: Path, paradigm: str = "critic") -> str:
    with torch.no_grad():
        output = model(row := row_for(model, ITEMS))
    write_fixture(str(folder), row, output.rewards, torch.float32, costs=output.costs)
    save_reward_model(
        str(folder), model.backbone, model.head_config, model.named_parameters(),
        processor_from=str(folder), lineage={}, paradigm=paradigm,
    )  # fmt: skip
    return str(folder)


@pytest.mark.parametrize("writes", ["own", "tied"])
def test_the_language_head_comes_back(writes: str, tmp_path: Path) -> None:
    model = toy_reward_model(writes=writes)
    folder = save(model, tmp_path / "model")
    loaded = load_reward_model(folder)
    assert paradigm_of(folder) == "critic" and loaded.lm_head is not None and model.lm_head is not None
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    assert (loaded.lm_head.weight is loaded.backbone.get_input_embeddings().weight) == (writes == "tied")
    with safe_open(tmp_path / "model" / "model.safetensors", framework="pt") as file:
        assert ("lm_head.weight" in set(file.keys())) == (writes == "own")
    verify_export(folder)


def test_an_export_with_another_language_head_does_not_pass_its_audit(tmp_path: Path) -> None:
    model = toy_reward_model(writes="own")
    save(model, tmp_path / "good")
    fixture = read_fixture(str(tmp_path / "good"))
    assert fixture.costs is not None and model.lm_head is not None
    with torch.no_grad():
        model.lm_head.weight[5] += 1.0
    write_fixture(str(tmp_path / "bad"), fixture.batch, fixture.rewards, torch.float32, costs=fixture.costs)
    save_reward_model(
        str(tmp_path / "bad"), model.backbone, model.head_config, model.named_parameters(),
        processor_from=str(tmp_path), lineage={}, paradigm="critic",
    )  # fmt: skip
    with pytest.raises(CorruptData, match="its language head is not the trained one"):
        verify_export(str(tmp_path / "bad"))


def test_a_folder_without_a_language_head_cannot_write(tmp_path: Path) -> None:
    model = toy_reward_model(writes="own")
    model.lm_head = None
    with torch.no_grad():
        rewards = model(row_for(model, ITEMS))
    write_fixture(str(tmp_path), row_for(model, ITEMS), rewards, torch.float32)
    save_reward_model(
        str(tmp_path), model.backbone, model.head_config, model.named_parameters(),
        processor_from=str(tmp_path), lineage={}, paradigm="critic",
    )  # fmt: skip
    with pytest.raises(MissingInput, match=r"holds no lm_head\.weight.*init_model\.language_head=true"):
        load_reward_model(str(tmp_path))


def test_paradigms_are_not_mixed_up(tmp_path: Path) -> None:
    assert paradigm_of(str(tmp_path)) == "scalar"
    check_paradigm(str(tmp_path), "scalar")
    with pytest.raises(RecipeError, match=r"train\.paradigm=critic, and .* is a scalar reward model: set"):
        check_paradigm(str(tmp_path), "critic")
    path = tmp_path / "paradigm.json"
    path.write_text(json.dumps({"paradigm": "oracle"}))
    with pytest.raises(CorruptData, match="'oracle', known are scalar, critic"):
        paradigm_of(str(tmp_path))
    path.write_text("{")
    with pytest.raises(CorruptData, match="is damaged"):
        paradigm_of(str(tmp_path))


def test_other_programs_get_no_critic(tmp_path: Path) -> None:
    folder = save(toy_reward_model(writes="own"), tmp_path / "model")
    with pytest.raises(RecipeError, match="is a critic reward model, and other programs read scalar ones"):
        export_model(folder, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_new_model_can_write_where_that_is_asked_for(tmp_path: Path) -> None:
    train_tokenizer(["What is it? It is."], 300, str(tmp_path / "tokens"))
    for writes in (True, False):
        folder = str(tmp_path / str(writes))
        config = InitModelConfig(output=folder, shape="nano", tokenizer=str(tmp_path / "tokens"), language_head=writes)
        initialise_model(config, PreprocessConfig(), train_tokenizer=lambda _: None)
        backbone = load_backbone(folder, dtype=torch.float32)
        if writes:
            assert read_language_head(folder, backbone).weight is backbone.get_input_embeddings().weight
        else:
            with pytest.raises(MissingInput, match=r"holds no lm_head\.weight"):
                read_language_head(folder, backbone)
