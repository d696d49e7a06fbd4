"""docs/planning.md against the code: its numbers come out, its commands run, every key and GPU is on it."""

import doctest
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from jobs.cli.main import main
from jobs.plan import planned_of
from jobs.recipe.load import load_recipe, packaged_recipes
from rm_core.planner.config import PlanConfig, check_plan_config
from rm_core.planner.gpus import GPUS

PAGE = (Path(__file__).parents[3] / "docs" / "planning.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def blocks(kind: str, note: str = "") -> list[str]:
    return [text for found, said, text in BLOCKS if (found, said) == (kind, note)]


def test_every_block_is_of_a_kind_that_runs() -> None:
    assert {(kind, note) for kind, note, _ in BLOCKS} == {
        ("sh", ""), ("sh", "refused"), ("text", ""), ("yaml", ""), ("python", "")
    }  # fmt: skip


def test_the_numbers_come_out() -> None:
    test = doctest.DocTestParser().get_doctest("".join(blocks("python")), {}, "docs/planning.md", None, 0)
    assert len(test.examples) > 30
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("command", [line for text in blocks("sh") for line in text.splitlines()])
def test_commands_run(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()[1:]) == 0, capsys.readouterr().err


def test_the_refusal_is_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (command,), (told,) = blocks("sh", "refused"), blocks("text")
    assert main(command.split()[1:]) == 2
    assert capsys.readouterr().err == told


def test_the_recipe_is_a_valid_one_with_every_key() -> None:
    (text,) = blocks("yaml")
    values = yaml.safe_load(text)["plan"]
    assert set(values) == {field.name for field in fields(PlanConfig)}
    check_plan_config(PlanConfig(**values))


@pytest.mark.parametrize("name", sorted(GPUS))
def test_the_catalogue_is_as_shown(name: str) -> None:
    gpu = GPUS[name]
    row = (
        f"| `{name}` | {gpu.memory_gb} GB | {gpu.peak / 1e12:,.0f} TFLOP/s | {gpu.hbm_gb_s:,} GB/s "
        f"| {gpu.link_gb_s} GB/s | {gpu.network_gb_s} GB/s | {gpu.host_gb} GB | ${gpu.price} |"
    )
    assert row in PAGE


@pytest.mark.parametrize("name", [name for name in packaged_recipes() if name.startswith("scale/")])
def test_recipes_are_as_shown(name: str) -> None:
    recipe = load_recipe(name)
    zero = f"{recipe.train.zero.stage}{', optimiser on the CPU' if recipe.train.zero.offload_optimizer else ''}"
    plan = planned_of(recipe)
    memory, time, checkpointing = (
        f"{plan.memory.needed / 1e9:.1f} of {plan.gpu.memory_gb:.4g} GB",
        plan.time,
        recipe.train.activation_checkpointing,
    )
    row = (
        f"| `{name}` | {recipe.train.num_workers} x {recipe.plan.gpu} | {zero} | {checkpointing} "
        f"| {memory} | {time.step_s:.1f} s | {time.hours:,.0f} | ${time.cost:,.0f} |"
    )
    assert row in PAGE
    head, optimizer = recipe.train.head, recipe.train.optimizer
    assert (optimizer.learning_rate, recipe.train.global_batch, recipe.train.epochs) == (3e-6, 128, 1)
    assert (head.layers, head.activation) == (2, "silu")
