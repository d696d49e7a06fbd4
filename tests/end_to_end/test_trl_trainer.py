"""TRL's own GRPO trainer, with the reward function of docs/serving.md, against a server: a training from end to end."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from rl_toys import write_policy_folder
from serve_lab import answering
from served_models import ServedModels
from workplace import ROOT

from rm_core.rl.policy import as_language_model, load_policy, load_processor, never_written, tokenizer_of
from rm_core.serving.config import ServeConfig

pytestmark = pytest.mark.drill

PAGE = ROOT / "docs" / "serving.md"
TOKEN = "a token of this drill"
QUESTIONS = ["Name a bird.", "What is it?", "Which colour?", "Is it red?"]


def function_of_the_page(url: str) -> Any:
    """The reward function that the page shows, with the address of this server."""
    [code] = [one for one in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf8"), re.S) if "def reward(" in one]
    names: dict[str, Any] = {}
    exec(code.partition("\nprint(")[0].replace("http://127.0.0.1:8000", url), names)
    return names["reward"]


class Recording:
    """The page's function, with what it was asked and what it gave."""

    __name__ = "reward"

    def __init__(self, function: Any) -> None:
        self._function = function
        self.found: list[tuple[str, str, float]] = []

    def __call__(self, prompts: Any, completions: Any, **columns: Any) -> list[float]:
        rewards: list[float] = self._function(prompts, completions, **columns)
        asked = zip(prompts, completions, rewards, strict=True)
        self.found += [(prompt[-1]["content"], answer[-1]["content"], reward) for prompt, answer, reward in asked]
        return rewards


def test_a_training_of_trl_asks_a_server_for_every_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets, trl = pytest.importorskip("datasets"), pytest.importorskip("trl")
    monkeypatch.setenv("BASEREWARD_SERVE_TOKEN", TOKEN)
    models, config = ServedModels(tmp_path / "served"), ServeConfig(batch_wait_ms=2)
    folder = as_language_model(write_policy_folder(tmp_path / "made"), str(tmp_path))
    processor = load_processor(folder)
    policy = load_policy(folder, "fp32")
    before = {name: weight.clone() for name, weight in policy.named_parameters()}
    settings = trl.GRPOConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=8, num_generations=4, max_completion_length=8,
        max_steps=3, logging_steps=1, learning_rate=1e-3, beta=0.0, use_cpu=True, report_to="none", save_strategy="no",
        seed=0, bf16=False, generation_kwargs={"suppress_tokens": never_written(policy, tokenizer_of(processor))},
    )  # fmt: skip
    prompts = [{"prompt": [{"role": "user", "content": text}]} for text in QUESTIONS]
    with answering(lambda: models.load(config), config, TOKEN) as lab:
        reward = Recording(function_of_the_page(lab.url))
        trainer = trl.GRPOTrainer(
            model=policy, reward_funcs=reward, args=settings, train_dataset=datasets.Dataset.from_list(prompts),
            processing_class=processor,
        )  # fmt: skip
        trainer.train()
        batches = list(lab.batches)
    assert len(reward.found) == 3 * 8
    rows = [{"prompt": prompt, "responses": [answer], "images": None} for prompt, answer, _ in reward.found]
    assert [one for *_, one in reward.found] == pytest.approx([one for [one] in models.by_score(rows)], abs=1e-5)
    logged = [entry["rewards/reward/mean"] for entry in trainer.state.log_history if "rewards/reward/mean" in entry]
    steps = torch.tensor([one for *_, one in reward.found]).reshape(3, 8).mean(dim=1)
    assert logged == pytest.approx(steps.tolist(), abs=1e-5)
    assert any(not torch.equal(before[name], weight) for name, weight in policy.named_parameters())
    assert sum(seen.shared_tokens + seen.cached_tokens for seen in batches) > 0, "a prompt is not computed four times"
