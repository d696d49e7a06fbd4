"""Which of our modules imports which, read from the sources, and the rings in such a graph."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

__all__ = ["Graph", "describe_ring", "imports_of_modules", "python_modules", "rings", "rooms_of"]

Graph = Mapping[str, Mapping[str, str]]
"""importer -> imported -> one line of source that says so, as `path:line: text`."""


def python_modules(root: Path, packages: Iterable[str]) -> dict[str, Path]:
    """Dotted name -> file, of every module below `root`'s packages; a package goes by its own name."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of_modules(modules: Mapping[str, Path], root: Path) -> dict[str, dict[str, str]]:
    """The graph of imports among `modules`: those at the top, inside functions and under `TYPE_CHECKING` alike."""
    graph: dict[str, dict[str, str]] = {name: {} for name in modules}
    for name, path in modules.items():
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for imported, line in _imports(ast.parse(text), modules):
            if imported != name:
                graph[name].setdefault(imported, f"{path.relative_to(root)}:{line}: {lines[line - 1].strip()}")
    return graph


def _imports(tree: ast.AST, modules: Mapping[str, Path]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in modules:
                    yield submodule, node.lineno
                elif node.module in modules:
                    yield node.module, node.lineno


def rooms_of(graph: Graph) -> dict[str, dict[str, dict[str, str]]]:
    """Parent -> the graph of its children (modules and packages side by side); "" is the parent of the packages.

    A package's own `__init__` is no room of it: it is the face that shows what the rooms below it have.
    """
    levels: dict[str, dict[str, dict[str, str]]] = {}
    for importer, edges in graph.items():
        _place(levels, importer)
        for imported, line in edges.items():
            parent, a, b = _where_they_part(importer, imported)
            if a and b:
                levels.setdefault(parent, {}).setdefault(a, {}).setdefault(b, line)
    return levels


def _place(levels: dict[str, dict[str, dict[str, str]]], module: str) -> None:
    parts = module.split(".")
    for depth in range(len(parts)):
        levels.setdefault(".".join(parts[:depth]), {}).setdefault(".".join(parts[: depth + 1]), {})


def _where_they_part(importer: str, imported: str) -> tuple[str, str, str]:
    """The nearest common parent, and the child of it on either way; an empty child: one is the parent itself."""
    a, b = importer.split("."), imported.split(".")
    depth = 0
    while depth < min(len(a), len(b)) and a[depth] == b[depth]:
        depth += 1
    return ".".join(a[:depth]), ".".join(a[: depth + 1]) * (depth < len(a)), ".".join(b[: depth + 1]) * (depth < len(b))


def rings(graph: Graph) -> list[list[str]]:
    """One shortest ring of each knot of the graph, as the modules in the order in which they import each other."""
    return [_shortest_ring(graph, knot) for knot in _knots(graph) if len(knot) > 1]


def _knots(graph: Graph) -> list[set[str]]:
    """Sets of modules that reach each other (strongly connected components)."""
    reached = {name: _reachable(graph, name) for name in graph}
    knots: list[set[str]] = []
    for name in sorted(graph):
        if not any(name in knot for knot in knots):
            knots.append({name} | {other for other in reached[name] if name in reached.get(other, set())})
    return knots


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for imported in graph.get(waiting.pop(), {}):
            if imported not in found:
                found.add(imported)
                waiting.append(imported)
    return found


def _shortest_ring(graph: Graph, knot: set[str]) -> list[str]:
    found: list[str] = []
    for start in sorted(knot):
        paths = [[start]]
        seen = {start}
        while paths and not (found and len(paths[0]) >= len(found)):
            path = paths.pop(0)
            if start in graph[path[-1]]:
                found = path
                break
            for imported in sorted(set(graph[path[-1]]) & knot - seen):
                seen.add(imported)
                paths.append([*path, imported])
    return found


def describe_ring(graph: Graph, ring: list[str]) -> str:
    """The ring with the line of each import, a line each."""
    following = [*ring[1:], ring[0]]
    lines = [f"  {a} -> {b}    {graph[a][b]}" for a, b in zip(ring, following, strict=True)]
    return "\n".join([f"a ring of {len(ring)}:", *lines])
