"""`basereward score` as a user runs it, with random weights: killed on the way, and on a table with pictures."""

import json
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prepared_toys import scene
from served_toys import write_export
from workplace import Workplace, kill_tree

from data_pipeline.encoding.tokenizer import train_tokenizer

NUM_LINES = 2001


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    found = Workplace(tmp_path_factory.mktemp("scoring"))
    train_tokenizer(["What is it? A bus. A dog."], 300, str(found.folder / "tokens"))
    write_export(found.folder / "train/export", "tiny", 1, found.folder / "tokens")
    return found


def written(folder: Path) -> Path:
    """Lines of which every ninth is blank."""
    records = [{"id": place, "prompt": f"What is {place}?", "responses": ["A bus.", "A dog."]} for place in range(2001)]
    path = folder / "many.jsonl"
    path.write_text("".join(("" if number % 9 == 8 else json.dumps(one)) + "\n" for number, one in enumerate(records)))
    return path


@pytest.mark.drill
def test_a_killed_scoring_goes_on_and_gives_the_same_lines(place: Workplace) -> None:
    source, whole, output = written(place.folder), place.folder / "whole.jsonl", place.folder / "killed.jsonl"
    printed = place.run("score", f"score.input={source}", f"score.output={whole}")
    assert "2,001" in printed and "blank_line" in printed
    process = place.start("score", f"score.input={source}", f"score.output={output}")
    while not list(place.folder.glob("killed.jsonl.parts/*.part")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    kill_tree(process.pid)
    assert not output.exists()
    assert 0 < len(list(place.folder.glob("killed.jsonl.parts/*.part"))) < 8
    place.run("score", f"score.input={source}", f"score.output={output}")
    assert output.read_bytes() == whole.read_bytes()
    assert len(output.read_text().splitlines()) == NUM_LINES
    left = sorted(path.name for path in place.folder.glob("killed.jsonl*"))
    assert left == ["killed.jsonl", "killed.jsonl.done.json"]


@pytest.mark.drill
def test_a_table_with_pictures_gives_a_line_a_row_and_is_done_once(place: Workplace) -> None:
    source, output = place.folder / "in.parquet", place.folder / "rows.jsonl"
    row = {"id": "p", "prompt": "<image> What is it?", "responses": ["A bus.", "A dog."]}
    pictures = [{"bytes": scene(1), "path": None}, None]
    pq.write_table(pa.Table.from_pylist([{**row, "image": picture} for picture in pictures]), source)
    printed = place.run("score", f"score.input={source}", f"score.output={output}")
    assert "image_slot_mismatch" in printed
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["rewards"] is None for line in lines] == [False, True]
    assert "finished already" in place.run("score", f"score.input={source}", f"score.output={output}")
