"""Reward models as Skywork-VL-Reward, TRL, ms-swift and R1-Reward save them: the same rewards, or refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from separate_rows import separate_rewards
from torch import Tensor, nn
from toys import ROW_FORMAT, toy_comparison, toy_config, toy_image
from transformers import Qwen2_5_VLForConditionalGeneration

from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import BaserewardError, CorruptData, MissingInput, RecipeError
from rm_core.batches.packed import collate
from rm_core.model.backbone import load_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.families import family_of
from rm_core.model.head import RewardHead
from rm_core.model_folder.folder import load_reward_model, verify_folder
from rm_core.model_folder.given_heads import check_no_given_head, given_head
from rm_core.model_folder.import_model import import_model
from rm_core.model_folder.reading import reading_of

HIDDEN = 32
ITEMS = [toy_comparison(seed, images=(toy_image(seed),) if seed % 2 else (), ranks=(0, 1, 2)) for seed in range(3)]
Head = dict[str, Tensor]


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


VALUE_HEAD = {"v_head.summary.weight": drawn(1, HIDDEN), "v_head.summary.bias": drawn(1)}
SCORE = {"score.weight": drawn(1, HIDDEN)}
TANH = {
    "score.dense.weight": drawn(HIDDEN, HIDDEN) / 8,
    "score.dense.bias": drawn(HIDDEN),
    "score.out_proj.weight": drawn(1, HIDDEN),
    "score.out_proj.bias": drawn(1),
}


def linear(head: Head, name: str, hidden: Tensor) -> Tensor:
    return nn.functional.linear(hidden, head[f"{name}.weight"], head.get(f"{name}.bias"))


CASES: dict[str, tuple[Head, bool, Callable[[Tensor], Tensor]]] = {
    "skywork": (VALUE_HEAD, True, lambda hidden: linear(VALUE_HEAD, "v_head.summary", hidden)),
    "trl value head": (VALUE_HEAD, False, lambda hidden: linear(VALUE_HEAD, "v_head.summary", hidden)),
    "swift and trl": (SCORE, False, lambda hidden: linear(SCORE, "score", hidden)),
    "r1-reward": (
        TANH,
        False,
        lambda hidden: linear(TANH, "score.out_proj", torch.tanh(linear(TANH, "score.dense", hidden))),
    ),
}


@pytest.fixture(scope="module")
def whole() -> Any:
    torch.manual_seed(5)
    return Qwen2_5_VLForConditionalGeneration(toy_config()).eval()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["What is it? A wren."], 300, str(folder))
    return folder


def write(folder: Path, whole: Any, tokenizer: Path, head: Head, beside: bool) -> str:
    """A folder as the other program leaves it; `beside`: the head in a file of its own."""
    whole.save_pretrained(folder)
    for file in tokenizer.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    if beside:
        save_file(head, folder / "value_head.safetensors")
    else:
        save_file(load_file(folder / "model.safetensors") | head, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


def plain_rewards(whole: Any, head: Callable[[Tensor], Tensor]) -> list[float]:
    """Each response in a row of its own through Transformers' model, the head on its last hidden state."""
    theirs: Any = SimpleNamespace(
        backbone=whole.model, family=family_of("qwen2_5_vl"), head=head, head_config=HeadConfig()
    )
    return [float(reward) for item in ITEMS for reward in separate_rewards(theirs, item)]


@pytest.mark.parametrize("case", CASES)
def test_an_imported_model_gives_the_rewards_of_a_plain_computation(
    case: str, tmp_path: Path, whole: Any, tokenizer: Path
) -> None:
    head, beside, compute = CASES[case]
    source = write(tmp_path / "theirs", whole, tokenizer, head, beside)
    reads = PreprocessConfig(encode=EncodeConfig(system_prompt="Judge.", answer_end="line_break"))
    import_model(source, str(tmp_path / "ours"), dtype="as_saved", preprocess=reads, source="ORG/NAME")
    assert verify_folder(str(tmp_path / "ours")) == {"imported_from": "ORG/NAME"}
    reading = reading_of(str(tmp_path / "ours"))
    assert isinstance(reading, Reading) and reading.encode == reads.encode
    with torch.inference_mode():
        ours = load_reward_model(str(tmp_path / "ours"))(collate(ITEMS, row_format=ROW_FORMAT)).tolist()
        torch.testing.assert_close(ours, plain_rewards(whole, compute), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_head_with_another_name_is_refused_by_it(case: str, tmp_path: Path, whole: Any, tokenizer: Path) -> None:
    head, beside, _ = CASES[case]
    for name in head:
        renamed = {f"{key}_2" if key == name else key: value for key, value in head.items()}
        source = write(tmp_path / name, whole, tokenizer, renamed, beside)
        with pytest.raises(RecipeError, match=rf"head that is not known: .*{name}_2"):
            given_head(source)


def test_a_head_is_never_replaced_by_a_new_one(tmp_path: Path, whole: Any, tokenizer: Path) -> None:
    for case, (head, beside, _) in CASES.items():
        source = write(tmp_path / case, whole, tokenizer, head, beside)
        with pytest.raises(RecipeError, match=r"holds a reward head .*basereward import-model RECIPE"):
            check_no_given_head(source)
        if not beside:
            with pytest.raises(CorruptData, match=r"tensors that its backbone does not read, first \['(v_head|score)"):
                load_backbone(source, dtype=torch.float32)
    odd = write(tmp_path / "odd", whole, tokenizer, {"judge.weight": drawn(1, HIDDEN)}, False)
    with pytest.raises(CorruptData, match=r"1 tensors .*'judge.weight'"):
        load_backbone(odd, dtype=torch.float32)
    plain = write(tmp_path / "plain", whole, tokenizer, {}, False)
    check_no_given_head(plain)
    load_backbone(plain, dtype=torch.float32)


@pytest.mark.parametrize(
    ("head", "beside", "error", "words"),
    [
        ({}, False, MissingInput, "holds no reward head: to train one on it"),
        ({"score.weight": drawn(2, HIDDEN)}, False, CorruptData, r"layers.0.weight has shape \(2, 32\), not \(1, 32\)"),
        ({"score.weight": drawn(1, 16)}, False, RecipeError, "does not fit the backbone"),
        (TANH | {"score.out_proj.weight": drawn(1, 8)}, False, CorruptData, r"layers.2.weight has shape \(1, 8\)"),
    ],
)
def test_heads_that_do_not_fit(
    head: Head, beside: bool, error: type[BaserewardError], words: str, tmp_path: Path, whole: Any, tokenizer: Path
) -> None:
    source = write(tmp_path / "theirs", whole, tokenizer, head, beside)
    with pytest.raises(error, match=words):
        import_model(source, str(tmp_path / "ours"), dtype="float32", preprocess=PreprocessConfig(), source="x")
    assert not (tmp_path / "ours" / "model.json").exists()


def test_pickles_and_damaged_files_are_refused(tmp_path: Path, whole: Any, tokenizer: Path) -> None:
    source = write(tmp_path / "theirs", whole, tokenizer, {}, False)
    (tmp_path / "theirs" / "value_head.bin").write_bytes(b"\x80")
    with pytest.raises(RecipeError, match="is a pickle, which could run code"):
        given_head(source)
    (tmp_path / "theirs" / "value_head.bin").unlink()
    (tmp_path / "theirs" / "value_head.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(CorruptData, match=r"value_head.safetensors' is damaged"):
        given_head(source)
    (tmp_path / "theirs" / "value_head.safetensors").unlink()
    (tmp_path / "theirs" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": []}))
    with pytest.raises(CorruptData, match=r"index.json' is damaged"):
        given_head(source)


def test_a_new_head_has_no_output_bias_unless_asked() -> None:
    assert "layers.2.bias" not in RewardHead(4, HeadConfig()).state_dict()
    assert "layers.2.bias" in RewardHead(4, HeadConfig(output_bias=True)).state_dict()
