"""`basereward evaluate` on a suite as a user runs it: any number of workers, and killed on the way, give one result."""

import json
import time
from pathlib import Path

import pytest
from served_toys import write_export
from suite_toys import vl_rewardbench, write_suite
from workplace import Workplace, kill_tree

from data_pipeline.config import PreprocessConfig
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import tokenizer_fingerprint, train_tokenizer

SUITE = "vl_rewardbench"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    found = Workplace(tmp_path_factory.mktemp("suites"))
    tokens = found.folder / "tokens"
    train_tokenizer(["What is it? A bus. Dogs."], 300, str(tokens))
    reading = Reading.of_config(PreprocessConfig(), tokenizer_fingerprint(str(tokens)))
    write_export(found.folder / "train/export", "nano", 1, tokens, reading=reading)
    write_suite(found.folder / "suites", SUITE, vl_rewardbench())
    return found


def arguments(place: Workplace, output: str, workers: int) -> tuple[str, ...]:
    return (
        "evaluate.split=null", f"evaluate.suites=[{SUITE}]", f"evaluate.suite_root={place.folder}/suites",
        "evaluate.missing_pictures=without", f"evaluate.output={place.folder}/{output}", f"cluster.num_cpus={workers}",
    )  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    """What an evaluation wrote, without the state of its run."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "job_state.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.drill
def test_workers_and_kills_leave_no_trace(place: Workplace) -> None:
    place.run("evaluate", *arguments(place, "one", 1))
    one = files_of(place.folder / "one")
    assert set(one) >= {"suites.json", "suites.md", "suites.html", f"suites/{SUITE}.jsonl"}
    lines = [json.loads(line) for line in one[f"suites/{SUITE}.jsonl"].decode().splitlines()]
    assert [line["index"] for line in lines] == list(range(1250))
    for workers in (2, 3):
        place.run("evaluate", *arguments(place, str(workers), workers))
        assert files_of(place.folder / str(workers)) == one
    process = place.start("evaluate", *arguments(place, "killed", 2))
    while not list(place.folder.glob("killed/suites/*.parts/*.part")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    kill_tree(process.pid)
    process.communicate()
    assert 0 < len(list(place.folder.glob("killed/suites/*.parts/*.part"))) < 5
    place.run("evaluate", *arguments(place, "killed", 2))
    assert files_of(place.folder / "killed") == one
    assert "scored already" in place.run("evaluate", *arguments(place, "killed", 2))
