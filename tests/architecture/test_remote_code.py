"""Code that lies in a model's folder is never run: every call that loads from one says so."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("data_pipeline", "rm_core", "cluster", "jobs") for path in (ROOT / folder).rglob("*.py")]
LOADERS = {"from_pretrained", "from_config", "_from_config"}


def loads(tree: ast.AST) -> list[tuple[int, bool]]:
    """Line of each call of a loader, and whether it says ``trust_remote_code=False``; also by another name."""
    aliases = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr in LOADERS
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in LOADERS | aliases:
            said = {word.arg: word.value for word in node.keywords}.get("trust_remote_code")
            found.append((node.lineno, isinstance(said, ast.Constant) and said.value is False))
    return found


def test_every_load_refuses_code() -> None:
    found = {str(path.relative_to(ROOT)): loads(ast.parse(path.read_text(encoding="utf8"))) for path in FILES}
    assert sum(map(len, found.values())) >= 2
    assert [(path, line) for path, calls in found.items() for line, refused in calls if not refused] == []


@pytest.mark.parametrize("call", ["C.from_pretrained(f)", "C.from_pretrained(f, trust_remote_code=True)"])
def test_a_load_that_does_not_is_found(call: str) -> None:
    assert loads(ast.parse(call)) == [(1, False)]
    assert loads(ast.parse(f"load: Any = {call.partition('(')[0]}\nload(f)")) == [(2, False)]
