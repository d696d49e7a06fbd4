"""docs/paradigms.md against the code: its picture is what the rows are, its recipe may run, its names exist."""

import re
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path

import pytest

from data_pipeline.transform.planning import check_config
from jobs.recipe.load import load_recipe
from rm_core.generation.config import check_critiques_config
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


@pytest.mark.parametrize("recipe", ["critic.yaml", "demo_critic"])
def test_its_recipes_may_run(recipe: str, tmp_path: Path) -> None:
    if recipe.endswith(".yaml"):
        [text] = re.findall(rf"^```yaml\n# {recipe}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        (tmp_path / recipe).write_text(text, encoding="utf-8")
        recipe = str(tmp_path / recipe)
    found = load_recipe(recipe)
    check_config(found.preprocess)
    check_train_config(found.train)
    check_critiques_config(found.evaluate.critiques, "evaluate.critiques")
    assert (found.train.paradigm, found.preprocess.encode.critiques) == ("critic", "given")


def test_every_paradigm_is_explained() -> None:
    assert [name for name in PARADIGMS if f"| `{name}`" not in PAGE] == []
