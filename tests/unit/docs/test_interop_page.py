"""docs/interop.md: its recipe imports a model of the kind that it names."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from toys import toy_config
from transformers import Qwen2_5_VLForConditionalGeneration
from workplace import ROOT

from data_pipeline.encoding.tokenizer import train_tokenizer
from jobs.cli.main import main
from rm_core import load_reward_model as load_exported
from rm_core.model_folder.folder import load_reward_model
from rm_core.model_folder.reading import reading_of

PAGE = (ROOT / "docs" / "interop.md").read_text(encoding="utf-8")


def test_the_recipe_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [(name, recipe)] = re.findall(r"^```yaml (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    Path(name).write_text(recipe, encoding="utf-8")
    theirs = Path("models/Skywork-VL-Reward-7B")
    config = toy_config()
    config.text_config.vocab_size = 320
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(theirs)
    train_tokenizer(["What is it?"], 300, str(theirs))
    save_file(
        {"v_head.summary.weight": torch.ones(1, 32), "v_head.summary.bias": torch.ones(1)},
        theirs / "value_head.safetensors",
    )
    (command,) = re.findall(r"^basereward (import-model .*)$", PAGE, re.MULTILINE)
    assert main(command.split()) == 0, capsys.readouterr()
    assert "qwen2_5_vl, a linear head" in capsys.readouterr().out
    assert load_reward_model("runs/skywork/imported").head_config.output_bias
    reading = reading_of("runs/skywork/imported")
    assert reading is not None and reading.encode.answer_end == "line_break"
    assert main(command.split()) == 0 and "finished already" in capsys.readouterr().out
    export_and_back(command)
    assert main([*command.split(), "import_model.source=null", "import_model.output=other"]) == 2


def export_and_back(import_command: str) -> None:
    """The page's second command, what its table says Transformers loads, and the way back."""
    (command,) = re.findall(r"^basereward (export-model .*)$", PAGE, re.MULTILINE)
    assert main(command.split()) == 0
    (folder,) = set(re.findall(r'load_reward_model\("(.*?)"\)', PAGE))
    assert load_exported(folder).config.reward_head["output_bias"]
    assert main(command.split()) == 2, "nothing is written over"
    assert main([*command.split()[:-1], "elsewhere", "dtype=float8"]) == 2
    (source,) = set(re.findall(r"`(import_model\.source=skywork-out)`", PAGE))
    assert main([*import_command.split(), source, "import_model.output=back"]) == 0
    first, second = (load_reward_model(one).state_dict() for one in ("runs/skywork/imported", "back"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert reading_of("back") == reading_of("runs/skywork/imported")
