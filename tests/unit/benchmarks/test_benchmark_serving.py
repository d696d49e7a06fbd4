"""The benchmark of serving on a tiny model: both servers give the same rewards, figures are what they are called."""

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.serving import __main__ as serving
from benchmarks.serving.asked import RECORDS
from benchmarks.serving.load import Turn
from data_pipeline.encoding.tokenizer import train_tokenizer


def write_records(folder: Path) -> None:
    """Three cartoons with nine captions each."""
    place = (folder / RECORDS).parent
    (place / "images").mkdir(parents=True)
    records = []
    for number in range(3):
        image = f"images/{number}.jpg"
        Image.effect_noise((80, 60), 40 + number).convert("RGB").save(place / image)
        captions = [{"text": f"Caption {place_} of the bus {number}."} for place_ in range(9)]
        records += [
            {"image": image, "prompt": "A caption?", "responses": captions[start : start + 3]} for start in (0, 3, 6)
        ]
    (folder / RECORDS).write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf8")


def test_figures_are_what_they_are_called() -> None:
    def turn(seconds: float, reward: float) -> Turn:
        return Turn(seconds=seconds, latencies_s=[seconds / 2] * 4, rewards=[[reward]] * 4)

    turns = {
        "ours": [turn(1.0, 0.5), turn(2.0, 0.5), turn(1.0, 0.5)],
        "naive": [turn(3.0, 0.75), turn(10.0, 0), turn(4.0, 0)],
    }
    found = serving.figures_of(turns)
    assert (found["ratio"], found["difference"], found["ours_requests_per_s"]) == (4.0, 0.25, 4.0)
    assert {"ratio_k4", "ratio_k8", "max_reward_difference"} == set(serving.GOALS)


def test_requests_of_one_case_share_no_cartoon(tmp_path: Path) -> None:
    write_records(tmp_path)
    options = serving.options_of(["--requests", "3"])
    cases = serving.cases_of(tmp_path, options)
    assert {name: len(found) for name, found in cases.items()} == {"k1": 3, "k4": 3, "k8": 3, "joined": 3}
    assert len({one["images"][0] for one in cases["k8"]}) == 3 and len(cases["k8"][0]["responses"]) == 8
    assert len({one["images"][0] for one in cases["joined"]}) == 1


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serving.main(["--quick", "--data", str(tmp_path)]) == 2
    assert "caption_contest.jsonl" in capsys.readouterr().err


@pytest.mark.drill
def test_both_servers_give_the_same_rewards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_records(tmp_path / "data")
    train_tokenizer(["A caption of the bus?"], 300, str(tmp_path / "tokens"))
    words = ["--shape", "tiny", "--requests", "2", "--turns", "2", "--concurrency", "2", "--threads", "1"]
    serving.main([*words, "--data", str(tmp_path / "data"), "--tokenizer", str(tmp_path / "tokens")])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    assert 0 < figures["max_reward_difference"] < 1e-5
    assert figures["ratio_joined"] > 0 and figures["k8.ours_p95_s"] > 0
