from dataclasses import replace

from jobs.rl.run_page import RlPage
from rm_core.rl.config import ConsistencyConfig, RewardConfig, RlConfig


def page(state: str, reason: str = "", steps: int = 3) -> RlPage:
    config = RlConfig(policy="p", output="/runs/mine/rl", reward=RewardConfig(kind="model", model="m", pessimism=1.5))
    return RlPage(
        name="mine", recipe_file="/runs/mine/rl/recipe.yaml", config=config, num_prompts=90, num_heldout=10,
        steps=steps, num_steps=60, seconds=125.0, state=state, reason=reason, metrics={"eval/gold": 0.25},
    )  # fmt: skip


def test_a_page_says_how_far_it_is_what_it_learns_from_and_how_to_go_on() -> None:
    text = page("failed", "a worker died").text()
    assert text.startswith("**Failed** · step 3 of 60 · 2 min") and "**Why it ended:** a worker died" in text
    assert "reward model, reward model `m`, less 1.5 standard deviations, gold `rule`" in text
    assert "90 to learn from, 10 held out" in text and "| gold reward, held out | 0.2500 |" in text
    assert "`basereward rl /runs/mine/rl/recipe.yaml` goes on" in page("killed").going_on()
    assert "--sample rl.sample.policy=/runs/mine/rl/export" in page("finished").going_on()


def test_a_page_names_the_model_that_says_what_is_consistent() -> None:
    consistency = ConsistencyConfig(url="http://host:8000/v1", model="qwen")
    judged = replace(page("running"), config=RlConfig(reward=RewardConfig(kind="verdict", consistency=consistency)))
    assert "reward verdict, consistency by `qwen`, gold" in judged.text()
