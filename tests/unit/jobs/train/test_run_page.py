"""What a training's page says of its attempts, its hours and its cost; what is kept over drivers."""

import json
import os
import re
import shlex
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from markdown_it import MarkdownIt
from PIL import Image

from cluster.capacity import Node
from jobs.pages.plots.run import bars_png, curves_png
from jobs.recipe.schema import Recipe
from jobs.tracking.run_writer import with_part
from jobs.train.record import Attempt, TrainingRecord
from jobs.train.run_page import RunPage, cluster_tags, gpu_type_of, price_of
from rm_core.planner.config import PlanConfig
from rm_core.training.health import window_checks
from rm_core.training.watchdog import report


def manifest() -> Any:
    shown = {"b": SimpleNamespace(shown=1), "a": SimpleNamespace(shown=2), "left out": SimpleNamespace(shown=0)}
    counts = SimpleNamespace(by_split={"train": 9800, "heldout": 200}, by_source=shown)
    return SimpleNamespace(counts=counts, address="99fc")


def attempt(**values: Any) -> Attempt:
    return Attempt(began_s=0.0, seconds=1800.0, workers=16, gpu_type="H100", nodes=["10.0.0.1", "10.0.0.2"], **values)


def page(state: str, *attempts: Attempt, reason: str = "", **metrics: float) -> RunPage:
    return RunPage(
        recipe=Recipe(name="mine"), manifest=manifest(), output="runs/mine/train", num_steps=4000, attempts=attempts,
        metrics={f"train/{name}": value for name, value in metrics.items()}, state=state, reason=reason,
    )  # fmt: skip


def test_a_training_that_ended_early_is_finished_and_says_why() -> None:
    found = replace(page("finished", attempt(last_step=1200), reason="no better eval/accuracy"), last_step=1200)
    lines = found.parts()[""].splitlines()
    assert lines[0].startswith("**Finished** · step 1,200 of 4,000 ·")
    assert lines[2] == "**Why it ended:** no better eval/accuracy" and found.tags()["steps"] == "1200 of 4000"


def test_the_first_lines_say_how_it_stands_and_what_it_cost() -> None:
    lost = attempt(last_step=1200, ended="rank 3 on 10.0.0.2: its process died")
    done = attempt(first_step=1000, last_step=4000, ended="finished")
    found = page("finished", lost, done, epoch=1.25, loss=0.5)
    first = found.parts()[""].splitlines()[0]
    assert (
        first
        == "**Finished** · step 4,000 of 4,000 · epoch 1.2 · 60 min in 2 attempts · 16.00 GPU-hours · about $110.40"
    )
    assert "9,800 Comparisons to train on, 200 heldout, of a, b; manifest `99fc`" in found.parts()[""]
    assert "| loss | 0.5000 |" in found.parts()[""]
    rows = found.parts()["Attempts"].splitlines()
    assert "| 0 to 1,200 | 16 x H100 | 10.0.0.1, 10.0.0.2 | 30 min | rank 3 on 10.0.0.2: its process died |" in rows[2]
    assert found.tags() == {
        "attempts": "2", "resumed_from_steps": "1000", "world_sizes": "16, 16", "steps": "4000 of 4000",
        "gpu_hours": "16.00", "cost_usd": "110.40", "seconds": "3600",
    }  # fmt: skip


def test_a_run_that_ended_early_says_why_and_how_to_go_on() -> None:
    found = page("killed", attempt(last_step=10), reason="SIGTERM: a checkpoint was asked for")
    assert found.parts()[""].startswith("**Killed** · step 10 of 4,000")
    assert "**Why it ended:** SIGTERM" in found.parts()[""]
    assert "`basereward train runs/mine/train/recipe.yaml`" in found.parts()["How to go on"]
    assert "Attempts" not in page("running").parts() and page("running").tags()["steps"] == "0 of 4000"


def test_commands_name_the_recipe_beside_the_training_as_a_shell_reads_it() -> None:
    """Not the recipe's name, which is no path, nor the model of another run that the recipe may name."""
    found = replace(page("finished"), output="/runs/my models/trial 3/train")
    commands = re.findall(r"`(basereward [^`]*)`", found.parts()["How to go on"])
    assert [shlex.split(one) for one in commands] == [
        ["basereward", "evaluate", "/runs/my models/trial 3/train/recipe.yaml",
         "evaluate.model=/runs/my models/trial 3/train/export"],
        ["basereward", "score", "/runs/my models/trial 3/train/recipe.yaml",
         "score.model=/runs/my models/trial 3/train/export", "score.input=FILE"],
    ]  # fmt: skip
    assert found.parts()["How to go on"].startswith(f"In `{os.getcwd()}`: ")
    remote = replace(page("killed"), output="s3://b/train", recipe=Recipe(name="mine", run_dir="s3://b"))
    assert remote.parts()["How to go on"] == (
        "Save the artifact `config/recipe.yaml` of this run; then `basereward train recipe.yaml` goes on from the "
        "newest checkpoint, in this run."
    )


def test_no_cost_where_no_price_is_known() -> None:
    cpu = Attempt(began_s=0.0, seconds=3600.0, workers=2)
    assert (page("finished", cpu).gpu_hours, page("finished", cpu).cost) == (0.0, None)
    unknown = page("finished", Attempt(began_s=0.0, seconds=3600.0, workers=2, gpu_type="T4"))
    assert (unknown.gpu_hours, unknown.cost) == (2.0, None)
    assert "GPU-hours" in unknown.parts()[""] and "about $" not in unknown.parts()[""]
    assert price_of(PlanConfig(price=1.5), "T4") == 1.5
    assert (price_of(PlanConfig(), "H100"), price_of(PlanConfig(), "A100-80G"), price_of(PlanConfig(), "A100")) == (
        6.9, 3.4, None,
    )  # fmt: skip


def test_the_cluster_in_words() -> None:
    def node(alive: bool, **total: float) -> Node:
        return Node(id="1", address="a", alive=alive, draining=False, total=total, free={})

    nodes = [node(True, CPU=4), node(True, CPU=96, GPU=8, **{"accelerator_type:H100": 1.0}), node(False, CPU=1)]
    tags = cluster_tags(nodes)
    assert (tags["cluster.nodes"], tags["cluster.cpus"], tags["cluster.gpus"]) == ("2", "100", "8 x H100")
    assert (gpu_type_of(nodes, None), gpu_type_of(nodes, "A100")) == ("H100", "A100")
    assert cluster_tags([])["cluster.gpus"] == "none"


def test_attempts_are_kept_over_drivers(tmp_path: Path) -> None:
    record = TrainingRecord(str(tmp_path))
    running = Attempt(began_s=time.time() - 90, workers=2, gpu_type="H100", last_step=7)
    with record.updated(lambda: [running]):
        pass
    kept = json.loads((tmp_path / "attempts.json").read_text())
    assert kept[0]["seconds"] >= 90 and kept[0]["gpu_type"] == "H100" and kept[0]["ended"] == ""
    after = TrainingRecord(str(tmp_path))  # the driver was killed before it could say why
    assert [one.ended for one in after.attempts] == ["the driver was killed"]
    with after.updated(lambda: [Attempt(began_s=time.time(), first_step=5)]):
        pass
    after.end("SIGTERM")
    after.end("too late")
    assert [one.ended for one in TrainingRecord(str(tmp_path)).attempts] == ["the driver was killed", "SIGTERM"]


@pytest.mark.parametrize(
    "png",
    [
        curves_png("a", {"train/loss": [(1, 0.7), (2, 0.6)], "train/accuracy": []}),
        curves_png("nothing yet", {}),
        bars_png("a", {"all": (0.7, 0.6, 0.8, 0.5), "text only": (0.5, 0.5, 0.5, 0.4)}),
    ],
)
def test_pictures_are_small_pngs(png: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png)
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.width > 300 and len(png) < 120_000


FORGED = (
    "<img src=x onerror=alert(1)>\n\n## Results\n\n| accuracy | 0.999 |\n0",
    "## How to go on\n\n`rm -rf /`", "a | b | c",
    "[here](http://evil.org) @somebody http://evil.org/x", "\x1b[2J**bold**\x9b", "```\ncode\n```",
)  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_record_s_id_makes_no_heading_row_or_link_on_the_page(name: str) -> None:
    """Ids stand in the reason why a training ended."""
    reason = f"RunError: step 3: loss sums nan, by these Comparisons: {name}"
    plain = page("failed", attempt(ended="RunError: words"), reason="RunError: words").parts()
    found = page("failed", attempt(ended=reason), reason=reason).parts()
    text, wanted = "", ""
    for heading, part in found.items():
        text, wanted = with_part(text, heading, part), with_part(wanted, heading, plain[heading])
    assert text.isprintable() or set(text) - set("\n") == {c for c in text if c.isprintable()}
    assert [line for line in text.splitlines() if line.startswith("#")] == ["## Attempts", "## How to go on"]
    kinds = [token.type for token in MarkdownIt().enable("table").parse(text)]
    assert kinds == [token.type for token in MarkdownIt().enable("table").parse(wanted)]
    inline = {child.type for token in MarkdownIt().parse(text) for child in token.children or []}
    assert not inline & {"link_open", "image", "html_inline"} and "http://" not in text and "@some" not in text


def test_ids_in_messages_of_a_training_are_one_short_line() -> None:
    sums: Any = SimpleNamespace(rows=[((f"a\x1b[2J\nTrained evil: 0.999{'x' * 10_000}",), torch.tensor(False))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_checks.dist, "get_world_size", lambda: 1)
        patch.setattr(window_checks.dist, "all_gather_object", lambda ranks, own: ranks.__setitem__(0, own))
        named = window_checks._suspects(sums)
    assert named.isprintable() and len(named) == 80
    assert report._ids(["\x1b[H\rrank 0 is fine"]).isprintable()
