"""docs/objectives.md against the code: its numbers come out, and every key and choice is on it."""

import doctest
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from rm_core.objectives.config import LABELS, NAMES, WEIGHTINGS, ObjectiveConfig
from rm_core.objectives.objective import Objective

PAGE = (Path(__file__).parents[3] / "docs" / "objectives.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_numbers_come_out() -> None:
    text = "".join(block for kind, block in BLOCKS if kind == "python")
    test = doctest.DocTestParser().get_doctest(text, {}, "docs/objectives.md", None, 0)
    assert len(test.examples) > 10
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_recipe_is_a_valid_one() -> None:
    (block,) = (block for kind, block in BLOCKS if kind == "yaml")
    Objective(ObjectiveConfig(**yaml.safe_load(block)["train"]["objective"]))


@pytest.mark.parametrize("field", [field.name for field in fields(ObjectiveConfig)])
def test_every_key_is_explained(field: str) -> None:
    assert f"`{field}`" in PAGE or f"`{field}: " in PAGE or f"`train.objective.{field}`" in PAGE


@pytest.mark.parametrize("choice", [*NAMES, *LABELS, *WEIGHTINGS])
def test_every_choice_is_explained(choice: str) -> None:
    assert re.search(rf"`(?:[a-z_]+: )?{choice}`|weighting: {choice}|`{choice}`", PAGE)
