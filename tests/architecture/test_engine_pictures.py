"""docs/engine.md against the code: its pictures are what the code returns, its numbers come out, its tests exist."""

import doctest
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rm_core.model.flops import Flops
from rm_core.model.shape_config import backbone_config
from rm_core.packing.row_sizes import attention_pairs

DOCS = Path(__file__).parents[2] / "docs"
IMAGES = DOCS / "images"
PAGE = (DOCS / "engine.md").read_text(encoding="utf-8")
FILES = sorted(path.name for path in IMAGES.glob("engine_*.svg"))


@pytest.fixture(scope="module")
def drawing() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(IMAGES)
        yield import_module("draw_engine")


@pytest.fixture(scope="module")
def drawn(drawing: ModuleType) -> dict[str, str]:
    pictures: dict[str, str] = drawing.pictures()
    return pictures


def test_every_picture_is_drawn_and_shown(drawn: dict[str, str]) -> None:
    assert sorted(drawn) == FILES
    assert [name for name in FILES if f"](images/{name})" not in PAGE] == []


@pytest.mark.parametrize("name", FILES)
def test_drawing_again_gives_the_committed_bytes(name: str, drawn: dict[str, str]) -> None:
    again = drawn[name].encode()
    assert again == (IMAGES / name).read_bytes(), "run `python docs/images/draw_engine.py` from the project's root"
    assert len(again) < 60_000
    assert ET.fromstring(again).find("{http://www.w3.org/2000/svg}title") is not None


def test_areas_cover_the_marked_cells_and_no_others(drawing: ModuleType) -> None:
    cells = np.random.default_rng(0).random((9, 9)) < 0.5
    cells[4] = cells[3]
    found = np.zeros_like(cells)
    for piece in drawing.area(cells, 0, 0, 1).split("z")[:-1]:
        corner, width, height, _ = piece.replace("v", "h").split("h")
        x, y = map(int, corner.removeprefix("M").split())
        assert not found[y : y + int(height), x : x + int(width)].any(), "drawn twice"
        found[y : y + int(height), x : x + int(width)] = True
    assert (found == cells).all()


def test_coloured_shapes_are_the_mask(drawing: ModuleType) -> None:
    """Triangles and rectangles of long rows, against the matrix: twice their area is the number of pairs."""
    layout = drawing.layout_of((40, (17, 21)), (25, (6, 8, 4)))
    twice = 0
    for _, path in drawing.allowed_shape(layout, 0, 0, 1):
        triangle, *rectangle = path.split("z")[:-1]
        side = int(triangle.split("v")[1].split("h")[0])
        twice += side * side
        for piece in rectangle:
            width, height = piece.split("h")[1].split("v")
            twice += 2 * int(width) * int(height)
    # A triangle of side n has n * n / 2 of the n (n + 1) / 2 pairs: half a pair a token is its diagonal.
    assert twice + layout.num_tokens == 2 * drawing.mask_of(layout).sum()


def test_the_numbers_of_the_page_come_out() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    test = doctest.DocTestParser().get_doctest("".join(blocks), {}, "docs/engine.md", None, 0)
    assert len(test.examples) > 10
    assert doctest.DocTestRunner().run(test).failed == 0


def table(first: str) -> list[list[float]]:
    """Numbers of the page's table whose header begins so; cells of words are left out."""
    _, after = PAGE.split(f"| {first} |", 1)
    lines = after.split("\n\n", 1)[0].split("\n")[2:]
    cells = [[cell.strip().replace(",", "") for cell in line.strip("|").split("|")] for line in lines]
    return [[float(cell) for cell in line if re.fullmatch(r"[\d.]+", cell)] for line in cells]


def test_tokens_of_the_table_are_the_formula() -> None:
    rows = table("P | R")
    assert len(rows) == 6
    for prefix, response, count, separate, packed, ratio in rows:
        assert (separate, packed) == (count * (prefix + response), prefix + count * response)
        assert ratio == pytest.approx(separate / packed, abs=0.005)


def test_flops_of_the_table_are_those_of_the_code() -> None:
    ids = {name: place for place, name in enumerate(("<|endoftext|>", "<|image_pad|>", "<|video_pad|>"))}
    ids |= {"<|vision_start|>": 3, "<|vision_end|>": 4}
    flops = Flops.of(backbone_config("7b", vocab_size=64, special_ids=ids))
    assert flops.vision is not None
    grids = [(1, 64, 64)]
    tower = flops.vision.forward(grids)
    rows = table("K | tower")
    assert len(rows) == 3
    for count, *numbers in rows:
        lengths = [150] * int(count)
        together, separate = flops.forward(1100, lengths, grids), flops.forward_separate(1100, lengths, grids)
        attention = flops.text.layers * flops.text.pair * attention_pairs(1100, lengths)
        parts = (tower, together - tower - attention, attention, together, separate, 1e12 * separate / together)
        assert numbers == [pytest.approx(part / 1e12, abs=0.006) for part in parts]


def test_tests_named_on_the_page_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    files = (DOCS.parent / "tests").rglob("test_*.py")
    defined = {
        name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)
    }
    assert len(named) >= 10
    assert named - defined == set()
