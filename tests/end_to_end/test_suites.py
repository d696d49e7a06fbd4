"""`basereward evaluate` as a user runs it: any number of workers, and killed on the way, give one result.

Of a split and of a suite, with changes (`evaluate.diagnostics`) and with a judge; sizes that no number of workers
divides.
"""

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from judge_server import JudgeServer
from served_toys import write_export
from suite_toys import write_suite
from workplace import Workplace, kill_tree

from data_pipeline.config import PreprocessConfig
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import tokenizer_fingerprint, train_tokenizer
from data_pipeline.synthetic import write_synthetic

SUITE = "rm_bench"
NUM_ROWS = 1327
"""Of the suite: a prime number."""
NUM_COMPARISONS = 301
"""Of the split: 7 times 43, in five chunks and two parts."""
PROBES = ("shuffled_images", "reversed_answers")
JUDGED = "mm_rlhf_rewardbench"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    found = Workplace(tmp_path_factory.mktemp("suites"))
    write_synthetic(str(found.folder / "raw"), num_comparisons=400, seed=1)
    tokens = found.folder / "tokens"
    train_tokenizer(["What is it? A bus. Dogs."], 300, str(tokens))
    found.run("preprocess", *of_data(found))
    reading = Reading.of_config(PreprocessConfig(), tokenizer_fingerprint(str(tokens)))
    write_export(found.folder / "train/export", "nano", 1, tokens, reading=reading)
    for suite in (SUITE, JUDGED):
        write_suite(found.folder / "suites", suite)
    return found


def of_data(place: Workplace) -> tuple[str, ...]:
    return f"preprocess.tokenizer={place.folder}/tokens", "preprocess.split.heldout_fraction=0.95"


def arguments(place: Workplace, output: str, workers: int) -> tuple[str, ...]:
    return (
        *of_data(place),
        f"evaluate.limit={NUM_COMPARISONS}", f"evaluate.suites=[{SUITE}]", f"evaluate.diagnostics=[{','.join(PROBES)}]",
        f"evaluate.suite_root={place.folder}/suites", f"evaluate.output={place.folder}/{output}",
        f"cluster.num_cpus={workers}",
    )  # fmt: skip


def judge_arguments(place: Workplace, output: str, server: JudgeServer) -> tuple[str, ...]:
    return (
        "evaluate.split=null", f"evaluate.suites=[{JUDGED}]", f"evaluate.suite_root={place.folder}/suites",
        "evaluate.missing_pictures=without", f"evaluate.output={place.folder}/{output}",
        f"evaluate.judge.url={server.url}", "evaluate.judge.model=judge", "evaluate.judge.concurrency=3",
    )  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    """What an evaluation wrote, without the state of its run."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "job_state.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def killed_at(place: Workplace, arguments: tuple[str, ...], files: str, count: int = 1) -> None:
    """Run until there are so many of the files, a glob, and kill the command and all that it started."""
    process = place.start("evaluate", *arguments)
    while len(list(place.folder.glob(files))) < count:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    kill_tree(process.pid)
    process.communicate()


@pytest.fixture(scope="module")
def one(place: Workplace) -> dict[str, bytes]:
    """What one worker writes that nobody kills."""
    place.run("evaluate", *arguments(place, "one", 1))
    return files_of(place.folder / "one")


@pytest.mark.drill
@pytest.mark.timeout(1200)
def test_workers_leave_no_trace(place: Workplace, one: dict[str, bytes]) -> None:
    suite_files = {f"suites/{SUITE}.jsonl", f"suites/{SUITE}.reversed_answers.jsonl"}
    assert set(one) >= {"report.json", "report.html", "suites.json", "suites.md", "scored.parquet", *suite_files}
    for file, key, count in (
        (f"suites/{SUITE}.reversed_answers.jsonl", "index", NUM_ROWS),
        ("diagnostics/shuffled_images.jsonl", "row", NUM_COMPARISONS),
    ):
        assert [json.loads(line)[key] for line in one[file].splitlines()] == list(range(count))
    assert set(json.loads(one["report.json"])["diagnostics"]["probes"]) == {*PROBES, "blank_images"}
    for workers in (2, 3):
        place.run("evaluate", *arguments(place, str(workers), workers))
        assert files_of(place.folder / str(workers)) == one


@pytest.mark.drill
@pytest.mark.timeout(1200)
def test_kills_leave_no_trace(place: Workplace, one: dict[str, bytes]) -> None:
    killed = arguments(place, "killed", 2)
    killed_at(place, killed, "killed/diagnostics/shuffled_images.jsonl.done.json")
    killed_at(place, killed, f"killed/suites/{SUITE}.jsonl.parts/*.part")
    assert not (place.folder / "killed/report.json").exists()
    place.run("evaluate", *killed)
    assert files_of(place.folder / "killed") == one
    assert "scored already" in place.run("evaluate", *killed)


@pytest.mark.drill
def test_a_killed_judge_is_asked_only_about_what_was_under_way(place: Workplace) -> None:
    def right(first: str, second: str) -> str:
        time.sleep(0.01)
        return "1" if first.startswith("Right") else "2"

    with JudgeServer(right) as server:
        place.run("evaluate", *judge_arguments(place, "judged", server))
        whole = Counter(server.asked)
        server.asked.clear()
        again = judge_arguments(place, "judge_killed", server)
        killed_at(place, again, f"judge_killed/suites/{JUDGED}.jsonl.parts/*.part", count=40)
        place.run("evaluate", *again)
        assert files_of(place.folder / "judge_killed") == files_of(place.folder / "judged")
        twice = Counter(server.asked) - whole
        assert sum(twice.values()) <= 2 * 3  # two questions of three items
