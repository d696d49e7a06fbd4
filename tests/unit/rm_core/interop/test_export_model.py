"""An exported model gives Transformers the rewards of `basereward score`, and comes back as the model that it was."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_rewards import (
    ANSWERS,
    BREAKS_FIRST,
    ENCODE,
    chat_text,
    chat_tokenizer,
    encoded,
    inputs_of,
    our_rewards,
    picture,
    tokens_of,
    write_model,
)
from transformers import AutoModelForSequenceClassification, Qwen2ForSequenceClassification, pipeline
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
from workplace import ROOT

from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from rm_core import load_reward_model
from rm_core.interop.card import export_card
from rm_core.interop.export_model import export_model
from rm_core.interop.vllm_plugin import ARCHITECTURES
from rm_core.model.config import HeadConfig
from rm_core.model.exported_config import EXPORTED_CONFIGS, PREFIX
from rm_core.model.families import FAMILIES
from rm_core.model_folder import weight_files
from rm_core.model_folder.folder import load_reward_model as load_ours
from rm_core.model_folder.import_model import import_model
from rm_core.model_folder.reading import reading_of

AS_TEMPLATES = EncodeConfig(system_prompt="Judge.", answer_start="template", answer_end="line_break")
TILES = replace(ENCODE, family="internvl", min_tiles=2, max_tiles=2)
CASES: dict[str, tuple[str, HeadConfig, EncodeConfig, str]] = {
    "one layer": ("nano", HeadConfig(layers=1), ENCODE, "Qwen2_5_VLForSequenceClassification"),
    "two layers": ("nano", HeadConfig(), ENCODE, "Qwen2_5_VLForBasereward"),
    "three layers": (
        "nano", HeadConfig(layers=3, activation="tanh", width=48), AS_TEMPLATES, "Qwen2_5_VLForBasereward"
    ),
    "output bias": ("qwen2-vl-tiny", HeadConfig(layers=1, output_bias=True), ENCODE, "Qwen2VLForBasereward"),
    "text": ("qwen2.5-tiny", HeadConfig(layers=1), ENCODE, "Qwen2ForSequenceClassification"),
    "qwen3-vl": ("qwen3-vl-tiny", HeadConfig(), replace(ENCODE, family="qwen3-vl"), "Qwen3VLForBasereward"),
    "internvl": ("internvl3-tiny", HeadConfig(), TILES, "InternVLForBasereward"),
    "internvl, one layer": ("internvl3.5-tiny", HeadConfig(layers=1), TILES, "InternVLForSequenceClassification"),
    "uncertain": ("qwen3-tiny", HeadConfig(dropout=0.1, uncertainty=True), ENCODE, "Qwen3ForBasereward"),
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_tokenizer(tmp_path_factory.mktemp("chats") / "tokenizer")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Any:
    """The folders (ours, exported) of a case, made once."""
    root, made = tmp_path_factory.mktemp("models"), {}

    def pair(case: str) -> tuple[str, str]:
        if case not in made:
            shape, head, encode, architecture = CASES[case]
            tokens = tokenizer
            if encode.family == "internvl" and not (tokens := tokenizer.parent / "internvl").exists():
                chat_tokenizer(tokens, encode.family)
            ours, out = write_model(root / case, shape, head, tokens, encode), str(root / f"{case} out")
            assert export_model(ours, out).architecture == architecture
            made[case] = (ours, out)
        return made[case]

    return pair


@pytest.mark.parametrize("case", CASES)
def test_transformers_gives_our_rewards(case: str, models: Any) -> None:
    ours, out = models(case)
    model = load_reward_model(out)
    assert (
        type(model).__name__ == CASES[case][3] == json.loads(Path(out, "config.json").read_text())["architectures"][0]
    )
    asked: list[tuple[str, bytes | None]] = [(answer, None) for answer in ANSWERS]
    if "image_token_id" in model.config.to_dict():
        few = CASES[case][2].family == "internvl"  # a picture has 768 tokens there
        asked += [(answer, picture(1)) for answer in (ANSWERS[1:3] if few else ANSWERS)]
    items = [encoded(ours, *one) for one in asked]
    differ = set()
    for (answer, image), item, expected in zip(asked, items, our_rewards(ours, items), strict=True):
        inputs = inputs_of(out, answer, image)
        if inputs["input_ids"][0].tolist() != tokens_of(item):
            differ.add(answer)
            continue
        with torch.inference_mode():
            assert model(**inputs).logits.item() == pytest.approx(expected, abs=1e-5)
    assert differ == (set() if CASES[case][2].answer_start == "template" else set(BREAKS_FIRST))


def test_rows_of_a_batch_do_not_see_their_filling(models: Any) -> None:
    for case in ("two layers", "text"):
        ours, out = models(case)
        rows = [tokens_of(encoded(ours, answer)) for answer in ANSWERS]
        ids = torch.full((len(rows), max(map(len, rows))), load_reward_model(out).config.get_text_config().pad_token_id)
        for row, tokens in zip(ids, rows, strict=True):
            row[: len(tokens)] = torch.tensor(tokens)
        filled = torch.tensor([[1] * len(row) + [0] * (ids.shape[1] - len(row)) for row in rows])
        expected = our_rewards(ours, [encoded(ours, answer) for answer in ANSWERS])
        with torch.inference_mode():
            for more in ({}, {"attention_mask": filled}):
                given = load_reward_model(out)(input_ids=ids, **more).logits[:, 0].tolist()
                assert given == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("case", ["one layer", "output bias", "uncertain"])
def test_an_export_comes_back_as_the_model_that_it_was(case: str, models: Any, tmp_path: Path) -> None:
    ours, out = models(case)
    import_model(out, str(tmp_path / "back"), dtype="as_saved", preprocess=PreprocessConfig(), source="x")
    items = [encoded(ours, answer) for answer in ANSWERS]
    assert reading_of(str(tmp_path / "back")) == reading_of(ours)
    assert our_rewards(str(tmp_path / "back"), items) == pytest.approx(our_rewards(ours, items), abs=1e-5)
    if not CASES[case][1].dropout:  # it moves the numbers of layers
        first, second = load_ours(ours).state_dict(), load_ours(str(tmp_path / "back")).state_dict()
        assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_linear_head_on_text_needs_nothing_of_ours_and_pipelines_give_the_reward(models: Any) -> None:
    ours, out = models("text")
    model, found = Qwen2ForSequenceClassification.from_pretrained(out, output_loading_info=True)
    assert not any(found.values())
    [expected] = our_rewards(ours, [encoded(ours, "A wren.")])
    judge: Any = pipeline("text-classification", model=out)
    assert judge(chat_text(out, "A wren."))[0]["score"] == pytest.approx(expected, abs=1e-5)
    assert type(judge.model) is type(model)
    judge = pipeline("text-classification", model=models("uncertain")[1])
    [expected] = our_rewards(models("uncertain")[0], [encoded(models("uncertain")[0], "A wren.")])
    assert judge(chat_text(out, "A wren."))[0]["score"] == pytest.approx(expected, abs=1e-5)


def test_a_head_that_no_other_program_has_is_not_loaded_as_a_random_one(models: Any) -> None:
    assert {PREFIX + name for name in FAMILIES} == EXPORTED_CONFIGS.keys()
    for case in ("two layers", "output bias", "uncertain"):
        model_type = json.loads(Path(models(case)[1], "config.json").read_text())["model_type"]
        assert model_type in EXPORTED_CONFIGS and model_type not in CONFIG_MAPPING_NAMES
    unknown = AutoModelForSequenceClassification
    with pytest.raises(RecipeError, match="reward_head=None, which describes no head"):
        unknown.from_config(FAMILIES["qwen2_vl"].config_class())


def test_vllm_knows_every_class_that_is_ours_but_those_of_internvl() -> None:
    configs = [*EXPORTED_CONFIGS.values(), *(family.config_class for family in FAMILIES.values())]
    classes = [MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[config] for config in configs]
    ours = {one.__name__ for one in classes if one.__module__ == "rm_core.interop.classes"}
    assert {name for name in ours if not name.startswith("InternVL")} == ARCHITECTURES.keys()
    source = (ROOT / "rm_core" / "interop" / "vllm_classes.py").read_text()  # to import it takes vLLM
    assert set(ARCHITECTURES.values()) == set(re.findall(r"^class ([A-Z]\w+)\(_Scored", source, re.MULTILINE))


def test_many_files_have_one_index(tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "SHARD_BYTES", 100_000)
    ours = write_model(tmp_path / "ours", "nano", HeadConfig(), tokenizer)
    export_model(ours, str(tmp_path / "out"), dtype="bfloat16")
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())["weight_map"]
    assert {"score.layers.0.weight", "visual.patch_embed.proj.weight", "model.embed_tokens.weight"} <= index.keys()
    model: Any = load_reward_model(str(tmp_path / "out"), dtype="auto")
    assert model.dtype == torch.bfloat16 and model.score.layers[0].weight.dtype == torch.float32
    assert not (tmp_path / "out" / "generation_config.json").exists()
    modes = {path.stat().st_mode & 0o444 for path in (tmp_path / "out").glob("*.safetensors")}
    assert modes == {(tmp_path / "out").stat().st_mode & 0o444}


@pytest.mark.parametrize("case", ["two layers", "text"])
def test_in_bfloat16_rewards_keep_their_first_digits(case: str, models: Any, tmp_path: Path) -> None:
    """By how much they differ, docs/interop.md says."""
    ours, out = models(case)[0], str(tmp_path / "out")
    export_model(ours, out, dtype="bfloat16")
    asked = [answer for answer in ANSWERS if answer not in BREAKS_FIRST]
    expected = torch.tensor(our_rewards(ours, [encoded(ours, answer) for answer in asked]))
    model = load_reward_model(out, dtype="auto")
    assert model.dtype == torch.bfloat16
    with torch.inference_mode():
        given = torch.tensor([model(**inputs_of(out, answer)).logits.item() for answer in asked])
    off = (given - expected).abs().max() / expected.std()
    assert 1e-5 < off < 0.1


def test_the_card_says_what_runs(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for case in ("text", "uncertain"):
        ours, out = models(case)
        card = Path(out, "README.md").read_text()
        assert "| imported from | `Theirs` |" in card and "/srv" not in card
        [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        said: dict[str, Any] = {}
        exec(code.replace("this/folder", out), said)
        [expected] = our_rewards(ours, [encoded_question(ours)])
        assert said["reward"] == pytest.approx(expected, abs=1e-5)
    for case in ("two layers", "qwen3-vl"):
        card = Path(models(case)[1], "README.md").read_text()
        assert "from rm_core import load_reward_model" in card and "AutoProcessor" in card
        assert "vllm serve this/folder" in card
    reading = reading_of(models("two layers")[0])
    assert reading is not None
    card = export_card("NewForBasereward", HeadConfig(), reading, {}, own_class=True, images=True, in_vllm=False)
    assert "vLLM refuses it" in card and "vllm serve" not in card


def encoded_question(folder: str) -> Any:
    return encoded(folder, "Red.", question="What colour is the bus?")


def test_what_cannot_be_exported(tokenizer: Path, tmp_path: Path) -> None:
    mean = write_model(tmp_path / "mean", "qwen2.5-tiny", HeadConfig(pooling="mean"), tokenizer)
    with pytest.raises(RecipeError, match="no other program knows where an answer begins"):
        export_model(mean, str(tmp_path / "out"))
    silent = write_model(tmp_path / "silent", "qwen2.5-tiny", HeadConfig(), tokenizer)
    Path(silent, "reading.json").unlink()
    with pytest.raises((MissingInput, CorruptData), match="reading"):
        export_model(silent, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_commands_that_need_a_model_of_ours_name_the_way_back(models: Any) -> None:
    with pytest.raises(MissingInput, match="exported for others: make it ours with `basereward import-model"):
        load_ours(models("two layers")[1])
