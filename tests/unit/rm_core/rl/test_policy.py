import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from rl_toys import Counting, read, write_policy_folder, write_prompts

from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.accounting import UnreadFields
from data_pipeline.sources.registry import adapter_of
from rm_core.model_folder.folder import verify_folder
from rm_core.rl.config import RewardConfig, RlConfig, SampleConfig
from rm_core.rl.policy import as_language_model, load_policy, load_processor, never_written, tokenizer_of, write_policy
from rm_core.rl.sampling import Sampler, samples_row


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_policy_folder(tmp_path_factory.mktemp("policy"))


def test_a_backbone_without_a_language_head_is_no_policy(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path, language_head=False)
    with pytest.raises(MissingInput, match=r"lm_head\.weight.*language_head=true"):
        load_policy(folder, "fp32")


def test_one_that_goes_on_has_all_weights_of_its_checkpoint_and_says_where_it_began(
    policy: str, tmp_path: Path
) -> None:
    """Also the vision tower, whose weights have other names in files than in the model."""
    trained = load_policy(policy, "fp32")
    with torch.no_grad():
        for weight in trained.parameters():
            weight.add_(0.5)
    trained.save_pretrained(tmp_path / "checkpoint")
    resumed = load_policy(policy, "fp32", resumed=str(tmp_path / "checkpoint"))
    expected = dict(trained.named_parameters())
    assert any("visual" in name for name in expected)
    for name, weight in resumed.named_parameters():
        assert torch.equal(weight, expected[name]), name
    assert resumed.config._name_or_path == policy, "its frozen copy is made of that folder"


def test_answers_hold_no_place_of_a_picture_and_no_token_without_text(policy: str) -> None:
    tokenizer = tokenizer_of(load_processor(policy))
    never = never_written(load_policy(policy, "fp32"), tokenizer)
    assert tokenizer.convert_tokens_to_ids("<|image_pad|>") in never
    assert tokenizer.eos_token_id not in never
    assert not set(tokenizer("red").input_ids) & set(never)


def test_the_processor_counts_the_places_of_a_picture(policy: str) -> None:
    processor = load_processor(policy)
    picture = PIL.Image.fromarray(np.zeros((112, 112, 3), dtype=np.uint8))
    turns = [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "?"}]}]
    made = processor.apply_chat_template([turns], add_generation_prompt=True, tokenize=True, return_dict=True)
    pads = sum(one == processor.image_token_id for one in made["input_ids"][0])
    assert pads == int(torch.as_tensor(made["image_grid_thw"])[0].prod()) // 4 > 0


def test_prompts_with_pictures_and_without_are_one_batch(policy: str) -> None:
    """TRL gives each prompt its list of pictures, or None."""
    processor = load_processor(policy)
    picture = PIL.Image.fromarray(np.zeros((112, 112, 3), dtype=np.uint8))
    shown = [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "?"}]}]
    plain = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    made = processor.apply_chat_template([plain, shown], add_generation_prompt=True, tokenize=True, return_dict=True)
    assert len(made["image_grid_thw"]) == 1
    texts = processor.apply_chat_template([plain, shown], add_generation_prompt=True, tokenize=False)
    again = processor(images=[None, [picture]], text=texts, padding=True, return_tensors="pt")
    assert again["image_grid_thw"].tolist() == torch.as_tensor(made["image_grid_thw"]).tolist()
    assert "pixel_values" not in processor(images=[None, None], text=[texts[0]] * 2, return_tensors="pt")


def test_a_folder_that_names_the_backbone_is_shown_as_a_language_model(policy: str, tmp_path: Path) -> None:
    """Else TRL's frozen copy of the policy has no language head."""
    shown = as_language_model(policy, str(tmp_path))
    assert shown != policy
    assert json.loads(Path(shown, "config.json").read_text())["architectures"] == ["Qwen2_5_VLForConditionalGeneration"]
    model = load_policy(shown, "fp32")
    assert model.get_output_embeddings() is not None
    model.save_pretrained(tmp_path / "whole")
    assert as_language_model(str(tmp_path / "whole"), str(tmp_path)) == str(tmp_path / "whole")


def test_a_written_policy_is_a_whole_folder_that_loads_again(policy: str, tmp_path: Path) -> None:
    load_policy(policy, "fp32").save_pretrained(tmp_path / "trained")
    (tmp_path / "trained" / "optimizer.pt").write_bytes(b"no weights")
    write_policy(str(tmp_path / "export"), str(tmp_path / "trained"), processor_from=policy, lineage={"steps": 3})
    assert verify_folder(str(tmp_path / "export")) == {"steps": 3}
    assert not (tmp_path / "export" / "optimizer.pt").exists()
    again = load_policy(str(tmp_path / "export"), "fp32").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in load_policy(policy, "fp32").state_dict().items())


def test_the_same_prompt_gets_the_same_answers_whatever_is_asked_beside_it(policy: str, tmp_path: Path) -> None:
    prompts = read(write_prompts(tmp_path, 3), tokens=policy).prompts
    config = RlConfig(
        precision="fp32", max_answer_tokens=6, sample=SampleConfig(number=3), reward=RewardConfig(kind="model")
    )
    sampler = Sampler(config, policy, Counting())
    together = sampler.sample(prompts)
    alone = [sampler.sample([one])[0] for one in reversed(prompts)][::-1]
    for first, second in zip(together, alone, strict=True):
        assert (first.answers, first.rewards, first.tokens) == (second.answers, second.rewards, second.tokens)
        assert len(first.answers) == 3 and 3 <= first.tokens <= 18
    row = samples_row(prompts[1], together[1], "best")
    best = max(row["responses"], key=lambda one: one["score"])
    assert row["kept"] == [best["text"]] and row["reference"] == "blue"
    assert row["image"][0].startswith("data:image/")
    assert samples_row(prompts[1], together[1], "right")["kept"] == []
    unread = UnreadFields()
    preferences = adapter_of("jsonl", unread)(json.loads(json.dumps(row)), SourceConfig(name="s", path="s"), 0)
    assert isinstance(preferences, Comparison) and preferences.num_responses == len(row["responses"])
    best = {**{name: row[name] for name in ("id", "prompt", "image")}, "answer": row["kept"][0]}
    question = adapter_of("answered")(best, SourceConfig(name="s", path="s", shape="answered"), 0)
    assert isinstance(question, Comparison) and len(question.media) == 1
