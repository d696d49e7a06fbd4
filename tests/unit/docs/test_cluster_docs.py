"""docs/cluster.md without a cluster: its blocks are shell, little is left out, its recipe loads.

`tests/end_to_end/test_cluster_page.py` (a drill) runs them all.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest
from page_blocks import Block, blocks_of, untested
from terraform_outputs import outputs

from jobs.recipe.load import load_recipe

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
BLOCKS = blocks_of(PAGE)


def test_what_is_left_out_is_counted() -> None:
    """A line more here is a line less that is tested."""
    assert untested(BLOCKS) == {"no Docker": 6, "no hub": 1}
    assert sum(len(block.run.splitlines()) for block in BLOCKS) > 50


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.text.splitlines()[0][:30])
def test_each_block_is_shell_that_stays_in_its_folder(block: Block) -> None:
    text = block.run
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not re.search(r"^\s*(cd|pushd) ", text, re.MULTILINE)


def test_the_recipe_loads(tmp_path: Path) -> None:
    [block] = [one for one in BLOCKS if one.text.startswith("cat > mine.yaml")]
    told = {name: {"value": value} for name, value in outputs().items()}
    (tmp_path / "outputs.json").write_text(json.dumps(told))
    subprocess.run(["bash", "-ec", f"RAW=raw\n{block.text}"], cwd=tmp_path, check=True)
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert recipe.run_dir == "s3://checkpoints/first" and recipe.preprocess.output == "s3://shards/first"
    assert recipe.train.model == recipe.preprocess.tokenizer == "s3://raw/models/Qwen2.5-VL-7B-Instruct"
    assert recipe.train.num_workers == 64 and recipe.tracking.uri == outputs()["mlflow"]["tracking_uri"]
