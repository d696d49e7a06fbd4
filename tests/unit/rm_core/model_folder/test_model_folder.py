"""A reward model survives its folder: saved, checked, reloaded in a fresh process, same rewards."""

import json
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model
from workplace import ROOT

import rm_core
from data_pipeline.config import PreprocessConfig
from data_pipeline.encoding.tokenizer import load_tokenizer, tokenizer_fingerprint, train_tokenizer
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage import from_checked_json
from rm_core.batches.packed import collate
from rm_core.model.attention import KERNELS
from rm_core.model.backbone import load_backbone, read_config
from rm_core.model.config import HeadConfig, InitModelConfig
from rm_core.model_folder.folder import load_reward_model, save_reward_model, verify_folder
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


def test_the_kernel_is_the_one_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="^attention='flex' cannot run here: it needs a CUDA GPU"):
        Scorer(str(folder), BUDGET, attention="flex")
    monkeypatch.setitem(KERNELS, "flex", replace(KERNELS["flex"], why_not=lambda *_: ""))
    plain, other = Scorer(str(folder), BUDGET), Scorer(str(folder), BUDGET, attention="flex")
    for ours, theirs in zip(plain.score(ITEMS[:2]), other.score(ITEMS[:2]), strict=True):  # it scores on CPUs, slowly
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert (plain.model.work.take().kernel, other.model.work.take().kernel) == ("sdpa", "flex")


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


def copy_of(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    return copy


def test_a_changed_bit_in_the_marker_is_caught(folder: Path, tmp_path: Path) -> None:
    """Also in the lineage, of which no other file depends."""
    copy = copy_of(folder, tmp_path / "copy")
    marker = copy / "model.json"
    good = marker.read_bytes()
    for place in range(0, len(good) * 8, 7):
        changed = bytearray(good)
        changed[place // 8] ^= 1 << place % 8
        marker.write_bytes(changed)
        try:
            found = verify_folder(str(copy))
        except CorruptData:
            continue
        assert found == verify_folder(str(folder)), changed[place // 8 - 9 : place // 8 + 9]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 1, "files": []}', "null"])
def test_a_marker_that_is_none_is_named(folder: Path, tmp_path: Path, text: str) -> None:
    copy = copy_of(folder, tmp_path / "copy")
    (copy / "model.json").write_text(text)
    with pytest.raises(CorruptData, match=r"model\.json"):
        load_reward_model(str(copy))


def test_the_marker_of_the_first_format_is_still_read(folder: Path, tmp_path: Path) -> None:
    copy = copy_of(folder, tmp_path / "copy")
    marker = from_checked_json((copy / "model.json").read_bytes(), "model.json") | {"format_version": 1}
    (copy / "model.json").write_text(json.dumps(marker))
    load_reward_model(str(copy))


@pytest.mark.parametrize(
    "name",
    [
        "adapter_config.json",
        "adapter_model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "evil.py",
    ],
)
def test_a_file_that_the_marker_does_not_list_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    copy = copy_of(folder, tmp_path / "copy")
    (copy / name).write_text("{}")
    with pytest.raises(CorruptData, match=f"does not list: {name}"):
        load_reward_model(str(copy))


def test_an_adapter_beside_a_backbone_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = copy_of(folder, tmp_path / "copy")
    (copy / "adapter_config.json").write_text("{}")
    with pytest.raises(RecipeError, match="holds an adapter"):
        load_backbone(str(copy), dtype=torch.float32)


def test_code_beside_a_backbone_is_neither_run_nor_asked_for(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}, "architectures": ["C"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w')")
    for read in (read_config, lambda folder: load_backbone(folder, dtype=torch.float32)):
        with pytest.raises(RecipeError, match=r"config\.json"):
            read(str(tmp_path))
    assert not ran.exists()


def test_whoever_may_enter_the_folder_may_read_the_weights(folder: Path) -> None:
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {folder.stat().st_mode & 0o666}


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
        assert initialise_model(config, PreprocessConfig(), train_tokenizer=trained) > 100_000
        weights.append(load_backbone(config.output, dtype=torch.float32).language_model.embed_tokens.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_init_model_refuses_an_unknown_shape(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'8b'"):
        initialise_model(
            InitModelConfig(output=str(tmp_path), shape="8b"),
            PreprocessConfig(),
            train_tokenizer=lambda folder: train_tokenizer(["a"], 300, folder),
        )


def test_a_tokenizer_named_by_its_file_is_told_to_name_the_folder(tmp_path: Path) -> None:
    train_tokenizer(["a"], 300, str(tmp_path))
    file = str(tmp_path / "tokenizer.json")
    with pytest.raises(MissingInput, match=f"init_model.tokenizer='{file}' is a file: name the folder .*'{tmp_path}'"):
        initialise_model(
            InitModelConfig(output=str(tmp_path / "out"), tokenizer=file),
            PreprocessConfig(),
            train_tokenizer=lambda folder: None,
        )
    for read in (load_tokenizer, tokenizer_fingerprint):
        with pytest.raises(MissingInput, match="is a file: name the folder that holds it"):
            read(file)


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


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere", "nowhere': no such folder; name the folder that training exported"),
        ("run/train/nothing", "no such folder"),
        ("file.txt", "is a file, no folder"),
        ("run", "is no model, it holds one: name '.*run/train/export'"),
        ("run/train", "is no model, it holds one: name '.*run/train/export'"),
        ("backbone", "holds no reward model, no reward_head.safetensors"),
        ("empty", "holds no reward model"),
    ],
)
def test_a_folder_that_is_no_model_is_the_callers_mistake_and_says_what_it_is(
    folder: Path, tmp_path: Path, place: str, message: str
) -> None:
    """Of the caller, exit code 2; half an export is not, and says that it is one."""
    (tmp_path / "run/train").mkdir(parents=True)
    (tmp_path / "run/train/export").symlink_to(folder)
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "empty").mkdir()
    shutil.copytree(folder, tmp_path / "backbone", ignore=shutil.ignore_patterns("reward_head*", "model.json"))
    shutil.copytree(folder, tmp_path / "half", ignore=shutil.ignore_patterns("model.json"))
    with pytest.raises(MissingInput, match=message):
        verify_folder(str(tmp_path / place))
    with pytest.raises(CorruptData, match="its export was cut off"):
        verify_folder(str(tmp_path / "half"))
