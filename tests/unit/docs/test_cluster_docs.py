"""docs/cluster.md without a cluster: its blocks are shell, little is left out, its recipe loads.

`tests/end_to_end/test_cluster_page.py` (a drill) runs them all.
"""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from page_blocks import Block, blocks_of, untested
from terraform_outputs import outputs

from cluster.quotas import quota_of
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


def test_quotas_are_those_that_production_needs() -> None:
    """The numbers to ask AWS for, from the sizes of prod.tfvars."""
    vcpus = {"m6i.4xlarge": 16, "m6i.16xlarge": 64, "p4d.24xlarge": 96, "p5.48xlarge": 192}
    tfvars = (ROOT / "infra" / "terraform" / "environments" / "prod.tfvars").read_text(encoding="utf-8")
    needed: Counter[str] = Counter()
    for text in tfvars.split("instance_type")[1:]:
        text = text.partition("}")[0]
        kind, nodes = re.findall(r'"(.*?)"', text)[0], re.search(r"max_nodes *= (\d+)", text)
        ways = re.search(r"purchase *= \[(.*)\]", text)
        for way in ["on_demand"] if ways is None else re.findall(r'"(.*?)"', ways.group(1)):
            quota = quota_of(kind, way)
            assert quota is not None
            needed[quota.code] += vcpus[kind] * (1 if nodes is None else int(nodes.group(1)))
    [block] = [one for one in BLOCKS if one.text.startswith("quota()")]
    asked = {code: int(value) for code, value in re.findall(r"^quota (L-\w+) (\d+)", block.text, re.MULTILINE)}
    assert asked == dict(needed)


def test_the_recipe_loads(tmp_path: Path) -> None:
    [block] = [one for one in BLOCKS if one.text.startswith("cat > mine.yaml")]
    told = {name: {"value": value} for name, value in outputs().items()}
    (tmp_path / "outputs.json").write_text(json.dumps(told))
    subprocess.run(["bash", "-ec", f"RAW=raw\n{block.text}"], cwd=tmp_path, check=True)
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert recipe.run_dir == "s3://checkpoints/first" and recipe.preprocess.output == "s3://shards/first"
    assert recipe.train.model == recipe.preprocess.tokenizer == "s3://raw/models/Qwen2.5-VL-7B-Instruct"
    assert recipe.train.num_workers == 64 and recipe.tracking.uri == outputs()["mlflow"]["tracking_uri"]
