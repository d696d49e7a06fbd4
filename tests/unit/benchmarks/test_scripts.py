"""Benchmarks start: each as a module, and some of their files as scripts by another interpreter."""

import ast
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
FOLDERS = sorted(path.parent for path in BENCHMARKS.glob("*/__main__.py"))


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_file_hides_a_package_from_its_neighbours(folder: Path) -> None:
    """A script's own folder is searched first: beside a `trl.py`, `import trl` would find that file."""
    files = list(folder.glob("*.py"))
    wanted = set().union(*(imported(file) for file in files))
    assert {file.stem for file in files} & wanted == set()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_usage_and_readme_name_the_command_that_works(folder: Path) -> None:
    command = f"python -m benchmarks.{folder.name}"
    assert f'prog="{command}"' in (folder / "__main__.py").read_text(encoding="utf-8")
    assert command in (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert f"| `{folder.name}` |" in (BENCHMARKS / "README.md").read_text(encoding="utf-8")
