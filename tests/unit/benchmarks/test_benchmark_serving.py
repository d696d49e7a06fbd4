"""The benchmark of serving on a tiny model: both servers give the same rewards, figures are what they are called."""

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.serving import __main__ as serving
from benchmarks.serving.asked import RECORDS, cases_of
from benchmarks.serving.load import Turn
from data_pipeline.encoding.tokenizer import train_tokenizer


def write_records(folder: Path) -> None:
    """Three cartoons with 18 captions each."""
    place = (folder / RECORDS).parent
    (place / "images").mkdir(parents=True)
    records = []
    for number in range(3):
        image = f"images/{number}.jpg"
        Image.effect_noise((80, 60), 40 + number).convert("RGB").save(place / image)
        captions = [{"text": f"Caption {place_} of the bus {number}."} for place_ in range(18)]
        records += [
            {"image": image, "prompt": "A caption?", "responses": captions[start : start + 3]}
            for start in range(0, 18, 3)
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
    assert (found["ratio"], found["difference"], found["ours_requests_per_s"]) == (4.0, 0.5, 4.0)
    assert {"ratio_k4", "ratio_k8", "ratio_later", "max_reward_difference"} == set(serving.GOALS)
    found = serving.figures_of({"cached": [turn(1.0, 0.5)], "ours": [turn(3.0, 0.5)], "naive": [turn(7.0, 0.5)]})
    assert (found["ratio"], found["ratio_to_ours"], found["difference"]) == (7.0, 3.0, 0.0)


def test_requests_of_one_case_share_no_cartoon(tmp_path: Path) -> None:
    write_records(tmp_path)
    cases = cases_of(tmp_path, 3, 2)
    assert {name: list(map(len, case.turns)) for name, case in cases.items()} == {name: [3, 3] for name in cases} | {
        "later": [16, 16]
    }
    assert list(cases) == ["k1", "k4", "k8", "joined", "later"]

    def cartoons(case: str, turn: int) -> set[str]:
        return {one["images"][0] for one in cases[case].turns[turn]}

    assert len(cartoons("k8", 0)) == 3 and len(cases["k8"].turns[0][0]["responses"]) == 8
    assert len(cartoons("joined", 0)) == 1 and cartoons("joined", 0) == cartoons("joined", 1)
    assert len(cartoons("later", 0) | cartoons("later", 1)) == 2


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
    assert figures["later.ratio_to_ours"] > 0 and figures["later.cached_requests_per_s"] > 0
