"""docs/cluster.md from its first block to its last, pasted into one shell: from an account without anything and back.

The tests are one story: each goes on where the one before ended. What is not run is counted by
`tests/unit/docs/test_cluster_docs.py`; what stands in for AWS is all in `tests/support/page_lab.py`.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import terraform_tools
from cloud_hosts import why_not
from page_lab import NUM_STEPS, PageLab
from postgres_server import postgres_programs

pytestmark = [pytest.mark.drill(minutes=15), pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def lab() -> Iterator[PageLab]:
    if reason := why_not() or terraform_tools.why_not():
        pytest.skip(reason)
    if postgres_programs() is None:
        pytest.skip("no PostgreSQL here")
    missing = [name for name in ("aws", "jq") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here")
    python = terraform_tools.python_with("moto")
    if isinstance(python, str):
        pytest.skip(python)
    place = tempfile.TemporaryDirectory(prefix="page-", dir="/var/tmp", ignore_cleanup_errors=True)
    with place as folder, PageLab(Path(folder), python) as one:
        yield one


def test_1_what_an_account_needs_once(lab: PageLab) -> None:
    assert lab.paste(lab.blocks[0]).count('"Status": "APPROVED"') == 4
    assert "Apply complete!" in lab.paste(lab.blocks[1])
    assert lab.cloud.key.stat().st_mode & 0o077 == 0
    lab.key_is_there()


def test_2_the_infrastructure(lab: PageLab) -> None:
    assert "Apply complete!" in lab.paste(lab.blocks[2])  # the registry
    lab.push("mlflow:3.17.2-1")
    assert "Apply complete!" in lab.paste(lab.blocks[3])  # all the rest
    lab.mlflow_starts()
    assert lab.missing() == ["quotas", "images", "the token", "the head"]
    lab.ask_for_quotas()  # this account's machines are others than the page's
    assert lab.missing() == ["images", "the token", "the head"]


def test_3_image_and_token(lab: PageLab) -> None:
    lab.paste(lab.blocks[4])
    lab.push("train:0.1.0")
    lab.paste(lab.blocks[5])
    token = lab.home / ".basereward-prod.token"
    assert len(token.read_text().strip()) == 48 and token.stat().st_mode & 0o077 == 0
    assert lab.missing() == ["the head"]


def test_4_the_cluster_by_a_tunnel(lab: PageLab) -> None:
    printed = lab.paste(lab.blocks[6])
    [head] = lab.cloud.running()
    assert f"the head is {head}" in printed and "Waiting for connections..." in printed
    assert "1 of 1 nodes alive" in printed


def test_5_its_health(lab: PageLab) -> None:
    printed = lab.paste(lab.blocks[7])
    assert "no step is missing" in printed and "all 1 nodes are well" in printed


def test_6_a_table_of_benchmarks(lab: PageLab) -> None:
    lab.paste(lab.blocks[8])
    lab.paste(lab.blocks[9])
    lab.recipe_is_small()
    assert lab.missing("disk_gb=0", "object_store_gb=0", "recipe=mine.yaml") == []
    printed = lab.paste(lab.blocks[10])
    assert "kept: 22 heldout, 98 train" in printed
    assert f"train steps: {NUM_STEPS} of {NUM_STEPS}" in printed
    table = printed[printed.rindex("suites.md") :]
    assert table.count("\n| ") > 3 and "BaseReward" in table, table


def test_7_back_to_nothing(lab: PageLab) -> None:
    printed = lab.paste(lab.blocks[11])
    assert "RUNNING" not in printed
    lab.wait_until_nothing_runs()
    assert lab.missing() == ["the head"]
    printed = lab.paste(lab.blocks[12])
    assert "Destroy complete!" in printed


def test_all_blocks_were_run(lab: PageLab) -> None:
    after = [one for one in lab.blocks[13:] if "kubectl" not in one.text and "sbatch" not in one.text]
    assert after == []
