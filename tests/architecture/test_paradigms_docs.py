"""docs/paradigms.md against the code: its picture is what the rows are, its recipe may run, its names exist."""

import re
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path

import pytest

from data_pipeline.transform.planning import check_config
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from rm_core.generation.config import check_critiques_config, check_verdicts_config
from rm_core.model.config import PARADIGMS
from rm_core.train_config.check import check_train_config

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "paradigms.md").read_text(encoding="utf-8")


def test_drawing_again_gives_the_committed_bytes() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS / "images")
        drawn = import_module("draw_paradigms").pictures()
    for name, text in drawn.items():
        committed = (DOCS / "images" / name).read_bytes()
        assert text.encode() == committed, "run `python docs/images/draw_paradigms.py` from the project's root"
        assert ET.fromstring(text).find("{http://www.w3.org/2000/svg}title") is not None
        assert f"](images/{name})" in PAGE


def recipe_of(name: str, folder: Path) -> Recipe:
    """One of the page's, or a packaged one, which may train."""
    if name.endswith(".yaml"):
        [text] = re.findall(rf"^```yaml\n# {name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        (folder / name).write_text(text, encoding="utf-8")
        name = str(folder / name)
    found = load_recipe(name)
    check_config(found.preprocess)
    check_train_config(found.train)
    return found


@pytest.mark.parametrize("recipe", ["critic.yaml", "demo_critic"])
def test_its_critics_may_run(recipe: str, tmp_path: Path) -> None:
    found = recipe_of(recipe, tmp_path)
    check_critiques_config(found.evaluate.critiques, "evaluate.critiques")
    assert (found.train.paradigm, found.preprocess.encode.critiques) == ("critic", "given")


@pytest.mark.parametrize("recipe", ["judge.yaml", "reasoning.yaml", "demo_generative", "demo_reasoning"])
def test_its_judges_may_run(recipe: str, tmp_path: Path) -> None:
    found = recipe_of(recipe, tmp_path)
    reasons = found.train.generative.form == "reasoning"
    check_verdicts_config(found.evaluate.verdicts, "evaluate.verdicts", judges=True, reasons=reasons)
    given = found.preprocess.encode.reasonings == "given"
    assert found.train.paradigm == "generative" and given == reasons == ("reasoning" in recipe)


def test_every_paradigm_is_explained() -> None:
    assert [name for name in PARADIGMS if f"| `{name}`" not in PAGE] == []
