"""Functions and files stay short enough to be read at once."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from import_graph import python_modules

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_pipeline", "rm_core", "cluster", "jobs", "benchmarks")
FILES = sorted(python_modules(ROOT, PACKAGES).values())
LONGEST_FUNCTION = 60
LONGEST_FILE = 350


def functions(source: str) -> Iterator[tuple[str, int, int]]:
    """(name, line, lines) of each function and method, its decorators left out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def too_long(source: str) -> list[str]:
    return [f"{line}: {name} has {n} lines" for name, line, n in functions(source) if n > LONGEST_FUNCTION]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_is_longer_than_a_screen(package: str) -> None:
    own = [path for path in FILES if path.relative_to(ROOT).parts[0] == package]
    found = [f"{path.relative_to(ROOT)}:{one}" for path in own for one in too_long(path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_files_are_one_idea_each() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES if path.name != "__init__.py"}
    longest = {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > LONGEST_FILE}
    middle = median(lengths.values())
    print(f"{len(lengths)} modules, median {middle:g} lines, longest {max(lengths.values())}")
    assert not longest
    assert middle <= 150


def test_a_long_function_is_found() -> None:
    body = "\n".join(f"    x = {i}" for i in range(60))
    assert too_long(f"def short():\n    pass\n\n\ndef long():\n{body}\n") == ["5: long has 61 lines"]
