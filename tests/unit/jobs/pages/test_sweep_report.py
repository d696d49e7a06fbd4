"""The report of a sweep from the folder that it leaves: what wins, what a law says, what did not finish."""

import csv
import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest
from html_pages import PageReader
from sweep_folders import sizes, trial_point, write_json, write_sweep

from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from jobs.sweep.report import read_out, render_report, summary, write_sweep_report
from jobs.sweep.results import read_sweep
from rm_core.scaling.series import TrialPoint
from rm_core.scoring.scored_file import read_scored, write_scored

FAILED = {
    "id": "abcdefabcdef", "label": "huge", "axes": {"backbone": "huge"}, "overrides": {}, "seed": 0, "state": "failed",
    "reason": "RunError: rank 1 is out of memory", "mlflow_run_id": None, "attempts": 2,
}  # fmt: skip


def told_of(folder: str) -> str:
    """The summary, without drawing anything."""
    results = read_sweep(folder)
    return summary(results, *read_out(results))


def page_of(folder: Path) -> str:
    return (folder / "report" / "index.html").read_text(encoding="utf-8")


def text_of(html: str) -> str:
    return " ".join("".join(PageReader(html).text).split())


def test_a_sweep_over_sizes_says_which_wins_and_by_what_law(tmp_path: Path) -> None:
    write_sweep_report(write_sweep(tmp_path, sizes(), scored=True, others=[FAILED]), None)
    files = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert files == [
        "axis_0_backbone.png", "cost.png", "index.html", "points.csv", "ranking.png", "scaling_compute.png",
        "scaling_parameters.png",
    ]  # fmt: skip
    for name in files:
        if name.endswith(".png"):
            with PIL.Image.open(tmp_path / "report" / name) as picture:
                assert picture.width > 1000 and len(picture.getcolors(10**6) or []) > 20
    html = page_of(tmp_path)
    page, text = PageReader(html), text_of(html)
    assert page.fetching == [] and page.tags.count("svg") == 5 and "script" not in page.tags
    assert "large has the best accuracy" in text
    assert "more than the noise of seeds and of Comparisons" in text
    assert "error against parameters: 10 times the parameters multiplies it by 0.7" in text  # 10^-0.12 = 0.759
    assert "RunError: rank 1 is out of memory" in text and "8 finished trials, 1 not finished" in text
    assert "what the paper went on with" not in text


def test_the_same_points_give_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for place in ("one", "two"):
        points = sizes(("tiny", "small", "mid"))[:: 1 if place == "one" else -1]
        write_sweep(tmp_path / place, points, axes={"backbone": ["tiny", "small", "mid"]})
        files, description = render_report(read_sweep(str(tmp_path / place)))
        digests.append(
            {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} | {"summary": description}
        )
    assert digests[0] == digests[1]


def test_points_csv_holds_every_digit(tmp_path: Path) -> None:
    points = sizes(seeds=(3,))
    files, _ = render_report(read_sweep(write_sweep(tmp_path, points, report="study")))
    rows = list(csv.DictReader(io.StringIO(files["points.csv"].decode())))
    assert [row["label"] for row in rows] == ["tiny", "small", "mid", "large"]
    for row, point in zip(rows, points, strict=True):
        assert (float(row["accuracy"]), float(row["log_loss"]), int(row["num_parameters"]), row["seed"]) == (
            point.accuracy, point.log_loss, point.num_parameters, "3",
        )  # fmt: skip
        assert (row["cost"], row["axis:backbone"], float(row["accuracy:pairs"])) == (
            "",
            point.label,
            point.by_source["pairs"],
        )


def test_one_seed_is_said_to_say_nothing(tmp_path: Path) -> None:
    told = told_of(write_sweep(tmp_path / "a", sizes(seeds=(0,))))
    assert "not known: one seed each, and no rewards of the same Comparisons" in told
    assert "one seed: unknown" in told
    told = told_of(write_sweep(tmp_path / "b", sizes(seeds=(0,)), scored=True))
    assert "more than the noise of Comparisons" in told


def test_models_of_different_held_out_parts_are_not_compared_pair_by_pair(tmp_path: Path) -> None:
    points = sizes(("tiny", "small"), seeds=(0,))
    folder = write_sweep(tmp_path, points, scored=True)
    other = tmp_path / "trials" / points[0].id / "evaluate" / "scored.parquet"
    shutil.copy(tmp_path / "trials" / points[1].id / "evaluate" / "scored.parquet", other)
    assert "of Comparisons" in told_of(folder)
    other.unlink()
    assert "not known" in told_of(folder)


def test_too_few_sizes_have_no_law_and_the_reason(tmp_path: Path) -> None:
    told = told_of(write_sweep(tmp_path, sizes(("tiny", "small"))))
    assert "log-loss against parameters: no law. 2 distinct values of parameters: a law needs 3 or more." in told


def test_a_study_shows_its_axes_and_no_law(tmp_path: Path) -> None:
    points = [
        trial_point(
            f"layers={layers}, {kind}",
            {"train.head.layers": str(layers), "kind": kind},
            seed=seed,
            accuracy=0.7 + 0.01 * layers + 0.001 * seed,
        )
        for layers in (1, 2)
        for kind in ("silu", "tanh")
        for seed in (0, 1)
    ]
    files, told = render_report(read_sweep(write_sweep(tmp_path, points, report="study")))
    assert {"axis_0_layers.png", "axis_1_kind.png", "grid_layers_kind.png"} < files.keys()
    assert not any(name.startswith("scaling") for name in files)
    assert "law" not in told


def test_lower_is_better_for_a_loss_and_other_metrics_are_read(tmp_path: Path) -> None:
    points = sizes(seeds=(0, 1))
    told = told_of(write_sweep(tmp_path / "a", points, metric="log_loss", mode="min"))
    assert told.startswith("large has the best log loss")
    told = told_of(write_sweep(tmp_path / "b", points, metric="source/pairs/accuracy"))
    assert told.startswith("large has the best source/pairs/accuracy")
    for index, point in enumerate(points):
        write_json(tmp_path / "a" / "trials" / point.id / "numbers.json", {"top1_accuracy": 0.9 - index / 100})
    sweep = json.loads((tmp_path / "a" / "sweep.json").read_text())
    write_json(tmp_path / "a" / "sweep.json", sweep | {"metric": "top1_accuracy", "mode": "max"})
    assert told_of(str(tmp_path / "a")).startswith("tiny has the best top1 accuracy: 0.8950")
    write_json(tmp_path / "a" / "sweep.json", sweep | {"metric": "acuracy"})
    with pytest.raises(RecipeError, match=r"sweep\.metric=acuracy is none of the numbers of trial .*accuracy"):
        read_sweep(str(tmp_path / "a"))


def test_a_sweep_of_which_nothing_has_finished_still_has_a_report(tmp_path: Path) -> None:
    folder = write_sweep(
        tmp_path, [], others=[FAILED, {**FAILED, "id": "0" * 12, "state": "stopped", "reason": "behind"}]
    )
    (tmp_path / "trials" / "111111111111").mkdir()
    write_json(tmp_path / "trials" / "222222222222" / "trial.json", {**FAILED, "state": "finished", "reason": ""})
    write_sweep_report(folder, None)
    text = text_of(page_of(tmp_path))
    assert "No trial has finished" in text and "0 finished trials, 4 not finished" in text
    assert "its folder has no trial.json" in text and "its folder has no point.json" in text and "stopped" in text
    assert (tmp_path / "report" / "points.csv").read_text().startswith("id,label,seed")


def test_what_others_wrote_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    points = [trial_point(evil, {evil: evil}, accuracy=0.7, by_source={evil: 0.7, "b": 0.6})]
    write_sweep_report(write_sweep(tmp_path, points, name=evil, others=[{**FAILED, "reason": evil}]), None)
    assert "script" not in PageReader(page_of(tmp_path)).tags


def test_the_papers_table_stands_beside_ours(tmp_path: Path) -> None:
    points = [
        trial_point(
            "2 silu",
            {"point": "2 silu"},
            seed=seed,
            accuracy=0.75 + 0.01 * seed,
            by_source={"mm_rlhf_rewardbench": 0.8, "mine": 0.7},
        )
        for seed in (0, 1)
    ]
    write_sweep_report(write_sweep(tmp_path, points, report="study", paper_table="head"), None)
    text = text_of(page_of(tmp_path))
    assert "The paper: Reward head" in text
    assert "2SiLU" in text.replace(" ", "") and "92.9" in text
    assert "ours, 2 seeds" in text and text.count("ours, 2 seeds") == 1
    assert "75.5" in text and "80.0" in text and "70.0" in text and "not measured" in text
    assert "73.7 is not the mean of the three groups, 73.4" in text
    told = told_of(str(tmp_path))
    assert "### Table 2 of the paper: Reward head, and ours" in told
    assert (
        "| 2 | SiLU | 67.9 | 79.7 |" in told
        and "| → ours |  | not measured |" in told
        and "| 80.0 | not measured | 75.5 |" in told
    )


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"sweep\.json' is not there: `basereward sweep`"):
        read_sweep(str(tmp_path))
    points = sizes(("tiny",))
    folder = write_sweep(tmp_path, points)
    place = tmp_path / "trials" / points[0].id / "point.json"
    place.write_text("{", encoding="utf-8")
    with pytest.raises(CorruptData, match=r"point\.json' is damaged"):
        read_sweep(folder)
    write_json(place, {"id": "a"})
    with pytest.raises(CorruptData, match="holds no point: not the fields of a point"):
        read_sweep(folder)
    write_json(tmp_path / "sweep.json", {"name": "x"})
    place.unlink()
    with pytest.raises(CorruptData, match="is no sweep's: KeyError 'axes'"):
        read_sweep(folder)


def test_labels_below_the_longer_answer_are_named_with_the_numbers(tmp_path: Path) -> None:
    points = sizes(("tiny", "small"), seeds=(0, 1))
    folder = write_sweep(tmp_path, points, scored=True)
    for point in points:
        url = str(tmp_path / "trials" / point.id / "evaluate" / "scored.parquet")
        longer = [replace(one, response_lengths=(6, 4) if int(one.id) % 10 < 7 else (4, 6)) for one in read_scored(url)]
        write_scored(url, longer)
    told = told_of(folder)
    assert "The rule that the longer answer wins has 0.7000 on 400 Comparisons in 400 groups" in told
    assert re.search(r"\| tiny \| 0\.6695 \| .* \| -0\.03\d\d \| -0\.\d+ to [+-]0\.\d+ \| ", told)
    assert "of 2 points below it: tiny." in told
    files, _ = render_report(read_sweep(folder))
    text = text_of(files["index.html"].decode())
    assert "over the longer answer" in text and "of 2 points below it: tiny." in text


def test_a_difference_on_few_pictures_is_within_the_noise(tmp_path: Path) -> None:
    points = sizes(("tiny", "large"), seeds=(0,))
    folder = write_sweep(tmp_path, points, scored=True)
    assert "more than the noise of Comparisons" in told_of(folder)
    for point in points:
        url = str(tmp_path / "trials" / point.id / "evaluate" / "scored.parquet")
        write_scored(url, [replace(one, group=f"image:{int(one.id) // 100}") for one in read_scored(url)])
    told = told_of(folder)
    assert "within the noise of Comparisons" in told and "400 Comparisons in 4 groups" in told


def test_rewards_of_a_version_before_groups_give_no_p_value(tmp_path: Path) -> None:
    points = sizes(("tiny", "large"), seeds=(0,))
    folder = write_sweep(tmp_path, points, scored=True)
    url = str(tmp_path / "trials" / points[0].id / "evaluate" / "scored.parquet")
    write_scored(url, [replace(one, group=None) for one in read_scored(url)])
    assert "no rewards of the same Comparisons with their groups" in told_of(folder)


def test_a_sweep_on_cpus_has_no_gpu_hours(tmp_path: Path) -> None:
    files, _ = render_report(read_sweep(write_sweep(tmp_path, sizes(seeds=(0,)))))
    text = text_of(files["index.html"].decode())
    assert "Worker-hours" in text and "GPU-hours" not in text


def test_accuracy_stands_beside_what_the_rewards_cost(tmp_path: Path) -> None:
    """A row a paradigm, as in the paper's Table 1; seeds are put together, and what is not known is not made up."""

    def point(label: str, seed: int, accuracy: float, tokens: float, seconds: float) -> TrialPoint:
        return trial_point(
            label, {"point": label}, seed=seed, accuracy=accuracy, interval=(accuracy - 0.02, accuracy + 0.03),
            written_tokens=tokens, item_seconds=seconds, on_gpus=False, by_source={"pairs": accuracy},
        )  # fmt: skip

    points = [
        point("scalar", 0, 0.90, 0.0, 0.0123), point("critic", 0, 0.92, 60.0, 0.4), point("critic", 1, 0.94, 70.0, 0.6),
        trial_point("early", {"point": "early"}),
    ]  # fmt: skip
    folder = write_sweep(tmp_path / "a", points, report="study")
    html = render_report(read_sweep(folder))[0]["index.html"].decode()
    assert "tokens that are written for the rewards of one Comparison" in text_of(html) and "CPU-hours" in html
    summary_of = told_of(folder).split("### Accuracy in percent, and cost of a Comparison")[1].strip().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in summary_of]
    assert rows[0] == [
        "", "overall", "interval", "pairs", "tokens written", "seconds", "CPU-hours of 1,000", "CPU-hours of training",
    ]  # fmt: skip
    assert rows[2:] == [
        ["scalar", "90.0", "88.0 to 93.0", "90.0", "0.0", "0.0123", "0.00342", "0.5"],
        ["critic", "93.0", "91.0 to 96.0", "93.0", "65.0", "0.5", "0.139", "0.5"],
    ]
    text = render_report(read_sweep(folder))[0]["points.csv"].decode()
    written = {row["label"]: row["written_tokens"] for row in csv.DictReader(io.StringIO(text))}
    assert written["scalar"] == "0.0" and written["early"] == ""
    assert "cost of a Comparison" not in told_of(write_sweep(tmp_path / "b", points[-1:], report="study"))


def test_points_in_no_order_are_not_joined_by_a_line(tmp_path: Path) -> None:
    keys = {"scalar": {"train.paradigm": "scalar"}, "critic": {"train.paradigm": "critic", "evaluate.limit": 9}}
    points = [trial_point(name, {"point": name}, overrides=found) for name, found in keys.items()]
    files = render_report(read_sweep(write_sweep(tmp_path, points, method="list", report="study")))[0]
    assert {name for name in files if name.endswith(".png")} == {"ranking.png"}
