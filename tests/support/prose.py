"""What people read of this project: documents, and the docstrings and comments of the code, line by line."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

__all__ = ["code_names", "defined_names", "document_lines", "source_lines"]


def document_lines(root: Path, files: list[Path]) -> Iterator[tuple[str, str]]:
    """(``path:line``, text) of Markdown files."""
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield f"{path.relative_to(root)}:{number}", line


def source_lines(root: Path, files: list[Path]) -> Iterator[tuple[str, str]]:
    """(``path:line``, text) of the docstrings, attribute docstrings and comments of Python files."""
    for path in files:
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                for offset, line in enumerate(node.value.value.splitlines()):
                    yield f"{path.relative_to(root)}:{node.lineno + offset}", line
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield f"{path.relative_to(root)}:{token.start[0]}", token.string


def defined_names(path: Path) -> set[str]:
    """What a module defines or imports, the names inside its classes and functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {part for alias in node.names for part in (alias.asname or alias.name).split(".")}
    return found


def code_names(path: Path) -> set[str]:
    """Every identifier in a module's code, and every word of its strings that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = defined_names(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.arg) or (isinstance(node, ast.keyword) and node.arg):
            found.add(node.arg)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= set(node.module.split("."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            found |= set(node.value.replace(".", " ").replace("/", " ").split())
    return found
