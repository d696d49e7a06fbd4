"""A reward model survives its folder: saved, checked, reloaded in a fresh process, same rewards."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model
from workplace import ROOT

import rm_core
from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from rm_core.batches.packed import collate
from rm_core.model.backbone import load_backbone
from rm_core.model.config import HeadConfig, InitModelConfig
from rm_core.model_folder.folder import load_reward_model, save_reward_model
from rm_core.model_folder.initialise import initialise_model
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scorer import Scorer

BUDGET = PackBudget(tokens=200, patches=100)
ITEMS = [toy_comparison(seed, images=(toy_image(seed),) if seed % 2 else (), ranks=(0, 1, 2)) for seed in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, path = toy_reward_model(seed=3), tmp_path_factory.mktemp("models") / "export"
    save_reward_model(
        str(path), model.backbone, model.head_config, model.state_dict().items(),
        processor_from="nowhere", lineage={"step": 7},
    )  # fmt: skip
    return path


def test_a_fresh_process_scores_the_same(folder: Path) -> None:
    expected = toy_reward_model(seed=3).eval()(collate(ITEMS, row_format=ROW_FORMAT)).tolist()
    code = (
        "import json, sys; from toys import *; from rm_core.model_folder.folder import load_reward_model;"
        "from rm_core.batches.packed import collate; from test_model_folder import ITEMS;"
        f"print(json.dumps(load_reward_model({str(folder)!r})(collate(ITEMS, row_format=ROW_FORMAT)).tolist()))"
    )
    paths = [str(Path(__file__).parent), str(ROOT / "tests" / "support"), str(ROOT)]
    program = f"import sys; sys.path[:0] = {paths!r}; {code}"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout.splitlines()[-1]) == pytest.approx(expected, abs=1e-6)


def test_scores_do_not_depend_on_company_order_or_budget(folder: Path) -> None:
    whole = rm_core.load(str(folder)).score(ITEMS)
    tight = Scorer(str(folder), PackBudget(tokens=max(item.num_tokens for item in ITEMS), patches=16))
    assert [len(rewards) for rewards in whole] == [3] * 5
    for other in (tight.score(ITEMS), tight.score(ITEMS[::-1])[::-1]):
        for a, b in zip(whole, other, strict=True):
            assert a == pytest.approx(b, abs=1e-5)


def test_a_blank_image_changes_the_reward_of_image_comparisons_only(folder: Path) -> None:
    scorer = Scorer(str(folder), BUDGET)
    for item, seen, blank in zip(ITEMS, scorer.score(ITEMS), scorer.score(ITEMS, blank=True), strict=True):
        assert (seen == pytest.approx(blank, abs=1e-6)) == (not item.images)


def test_a_comparison_over_the_budget_is_named(folder: Path) -> None:
    with pytest.raises(RecipeError, match="token_budget=5"):
        Scorer(str(folder), PackBudget(tokens=5, patches=100)).score(ITEMS)


def test_a_changed_byte_is_caught(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = copy / "reward_head.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CorruptData, match=r"reward_head\.safetensors"):
        load_reward_model(str(copy))
    (copy / "model.json").unlink()
    with pytest.raises(CorruptData, match="cut off"):
        load_reward_model(str(copy))


def test_a_folder_without_a_head_or_a_backbone_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="reward_head"):
        load_reward_model(str(tmp_path))
    with pytest.raises(MissingInput, match="init-model"):
        load_backbone(str(tmp_path), dtype=torch.float32)


def test_init_model_writes_a_folder_that_loads_and_depends_on_its_seed(tmp_path: Path) -> None:
    def trained(folder: str) -> None:
        train_tokenizer(["What colour is the shape on the left?", "It is red."], 300, folder)

    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = InitModelConfig(output=str(tmp_path / name), seed=seed)
        assert initialise_model(config, EncodeConfig(), train_tokenizer=trained) > 100_000
        weights.append(load_backbone(config.output, dtype=torch.float32).language_model.embed_tokens.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_init_model_refuses_an_unknown_shape(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'8b'"):
        initialise_model(
            InitModelConfig(output=str(tmp_path), shape="8b"),
            EncodeConfig(),
            train_tokenizer=lambda folder: train_tokenizer(["a"], 300, folder),
        )


def test_an_uncertainty_head_reloads_and_scores_its_means(tmp_path: Path) -> None:
    model = toy_reward_model(seed=5, head=HeadConfig(uncertainty=True, pooling="mean")).eval()
    save_reward_model(
        str(tmp_path), model.backbone, model.head_config, model.state_dict().items(),
        processor_from="nowhere", lineage={},
    )  # fmt: skip
    output = model(collate(ITEMS, row_format=ROW_FORMAT))
    assert output.shape == (15, 2)
    scored = [reward for rewards in Scorer(str(tmp_path), BUDGET).score(ITEMS) for reward in rewards]
    assert scored == pytest.approx(output[:, 0].tolist(), abs=1e-5)
