"""No two modules and no two rooms import each other, on whatever way round: each can be read after those it imports."""

from pathlib import Path

import pytest
from import_graph import Graph, describe_ring, imports_of_modules, python_modules, rings, rooms_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_pipeline", "rm_core", "cluster", "jobs", "benchmarks")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return imports_of_modules(python_modules(ROOT, PACKAGES), ROOT)


def described(graph: Graph) -> str:
    return "\n".join(describe_ring(graph, ring) for ring in rings(graph))


def test_the_graph_has_every_module_and_its_imports(graph: Graph) -> None:
    assert {"rm_core.training.trainer", "jobs.cli.main", "benchmarks.plan.__main__", "cluster.errors"} <= graph.keys()
    assert "rm_core.packing.plan" in graph["rm_core"], "imports inside functions count"
    assert sum(map(len, graph.values())) > 1000


def test_no_ring_among_modules(graph: Graph) -> None:
    assert not rings(graph), described(graph)


def test_no_ring_among_rooms(graph: Graph) -> None:
    found = [described(rooms) for rooms in rooms_of(graph).values()]
    assert not any(found), "\n".join(filter(None, found))


def made_up(*edges: str) -> Graph:
    """A graph of edges such as "a.b c.d"."""
    graph: dict[str, dict[str, str]] = {}
    for edge in edges:
        importer, imported = edge.split()
        graph.setdefault(importer, {})[imported] = f"{importer}.py:1: import {imported}"
        graph.setdefault(imported, {})
    return graph


def test_a_ring_among_modules_is_found() -> None:
    graph = made_up("p.a p.b", "p.b p.c", "p.c p.a", "p.c q.d", "q.d q.e")
    assert rings(graph) == [["p.a", "p.b", "p.c"]]
    assert described(graph).splitlines() == [
        "a ring of 3:",
        "  p.a -> p.b    p.a.py:1: import p.b",
        "  p.b -> p.c    p.b.py:1: import p.c",
        "  p.c -> p.a    p.c.py:1: import p.a",
    ]


def test_a_ring_among_rooms_is_found_where_modules_have_none() -> None:
    graph = made_up("p.train.loop p.plan.pack", "p.plan.check p.train.config", "p p.train.loop", "p.train p.train.loop")
    assert rings(graph) == []
    assert {parent: rings(rooms) for parent, rooms in rooms_of(graph).items()} == {
        "": [],
        "p": [["p.plan", "p.train"]],
        "p.plan": [],
        "p.train": [],
    }


def test_a_tree_has_no_ring() -> None:
    graph = made_up("q.x p.a.one", "p.a.one p.a.two", "p.a.two p.b", "q.x p.b")
    assert rings(graph) == []
    assert [rings(rooms) for rooms in rooms_of(graph).values()] == [[]] * 4
