"""Files and modules of ours that documents, docstrings and comments name exist."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from import_graph import python_modules

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_pipeline", "rm_core", "cluster", "jobs", "benchmarks")
TREES = (*PACKAGES, "tests", "docs", "infra")
HISTORY = ("CHANGELOG.md", "docs/log.md", "docs/decisions/")
SKIPPED = {".terraform", "results"}

MODULES = python_modules(ROOT, PACKAGES)
# A path from the project's root such as rm_core/model/head.py or tests/unit/jobs/, and not the end of a longer one.
PATH = re.compile(r"(?<![\w/.\-{}<*])(?:%s)/[\w./\-]*[\w/]" % "|".join(TREES))
# A dotted name such as rm_core.model.head or rm_core.model.head.RewardHead, and not a part of another word.
DOTTED = re.compile(r"(?<![\w./\-])(?:%s)(?:\.\w+)+" % "|".join(PACKAGES))
TICKED = re.compile(r"(?<!`)`([a-z][a-z0-9_]*)(?:\.[A-Za-z_]\w*)*`(?!`)")


def texts() -> Iterator[tuple[str, str]]:
    """(where, text) of each document, and of each docstring and comment of the code."""
    for path in sorted([*ROOT.glob("*.md"), *(p for tree in TREES for p in (ROOT / tree).rglob("*.md"))]):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(HISTORY) and not SKIPPED & set(path.parts):
            yield from ((f"{name}:{i}", line) for i, line in enumerate(path.read_text("utf-8").splitlines(), 1))
    for tree in TREES:
        for path in sorted((ROOT / tree).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            yield from ((f"{name}:{line}", text) for line, text in prose_of(path))


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of the docstrings, attribute docstrings and comments of a source file, line by line."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for offset, line in enumerate(node.value.value.splitlines()):
                yield node.lineno + offset, line
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def missing_path(named: str) -> bool:
    """Whether there is no such file or folder; `a/b` may also be two words of a choice, as in "docs/tests"."""
    return not (ROOT / named).exists()


def missing_module(dotted: str) -> bool:
    """Whether `dotted` is neither a module, nor a name in one, nor an attribute of such a name."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if module in MODULES:
            rest = parts[length:]
            return bool(rest) and rest[0] not in names_of(MODULES[module])
    return True


_NAMES: dict[Path, set[str]] = {}


def names_of(path: Path) -> set[str]:
    """What a module defines or imports at its top level."""
    if path not in _NAMES:
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        _NAMES[path] = found
    return _NAMES[path]


def stale(text: str) -> list[str]:
    """Paths and dotted names in `text` that lead nowhere."""
    paths = [named for named in PATH.findall(text) if missing_path(named.rstrip("."))]
    dotted = [name for name in DOTTED.findall(text) if not name.endswith((".md", ".json", ".yaml")) and missing_module(name)]
    return paths + dotted


def test_paths_and_modules_that_are_named_exist() -> None:
    found = [f"{where}: {name}" for where, text in texts() for name in stale(text)]
    assert not found, "\n" + "\n".join(found)
