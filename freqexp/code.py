"""What Python code does, without what it says: the ground of a run's identity.

A hash over bytes would give a run another id for a typo in a comment. Here two texts have the same
digest when they differ in comments, layout, docstrings and type hints alone.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Fields of syntax nodes that no computation sees. `ctx` follows from where a node stands.
_UNSEEN = frozenset({"annotation", "returns", "type_comment", "type_ignores", "kind", "ctx"})


def code_digest(text: str) -> str:
    """SHA-256 (hex) of a module's code. Raises SyntaxError for text that is no Python."""
    return hashlib.sha256(repr(_Reading().module(ast.parse(text))).encode()).hexdigest()


def files_digest(root: Path, files: Iterable[Path]) -> str:
    """SHA-256 (hex) over the code of Python files and their places below `root`, in any order."""
    names = {file.relative_to(root).as_posix(): file for file in files}
    lines = (f"{name} {_file_digest(names[name])}\n" for name in sorted(names))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _file_digest(file: Path) -> str:
    stat = file.stat()
    return _known_digest(file, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _known_digest(file: Path, size: int, modified: int) -> str:
    return code_digest(file.read_text(encoding="utf-8"))


class _Reading:
    """One module as nested tuples without what differs between versions of Python."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._imports: list[tuple[list[Any], Any]] = []

    def module(self, tree: ast.Module) -> Any:
        """The whole of it. An import that only type hints needed is none of it."""
        found = self._block(tree.body)
        for block, imported in self._imports:
            names = imported[-1]
            names[:] = [name for name in names if name[-1] in self._used or name[-1] == "*"]
            if not names:
                block.remove(imported)
        return found

    def _form(self, node: object) -> Any:
        if isinstance(node, list):
            return self._block(node)
        if isinstance(node, ast.Constant):
            return (type(node.value).__name__, repr(node.value))
        if isinstance(node, ast.AnnAssign):
            return self._assigned(node.target, node.value)
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            return self._assigned(node.targets[0], node.value)
        if not isinstance(node, ast.AST):
            return node
        if isinstance(node, ast.Name):
            self._used.add(node.id)
        fields = [
            (name, self._form(value))
            for name, value in ast.iter_fields(node)
            if name not in _UNSEEN and value is not None and value != []
        ]
        return (type(node).__name__, *fields)

    def _block(self, nodes: list[Any]) -> list[Any]:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                names = [(alias.name, alias.asname or alias.name) for alias in node.names]
                imported = ("ImportFrom", node.level, node.module, names)
                self._imports.append((found, imported))
                found.append(imported)
            elif not _is_talk(node):
                found.append(self._form(node))
        return found

    def _assigned(self, target: ast.expr, value: ast.expr | None) -> Any:
        """With or without a hint. Names in `__all__` are used: by whoever imports from here."""
        if isinstance(target, ast.Name) and target.id == "__all__" and value is not None:
            self._used |= {
                item.value
                for item in ast.walk(value)
                if isinstance(item, ast.Constant) and isinstance(item.value, str)
            }
        return ("Assign", self._form(target), self._form(value))


def _is_talk(node: object) -> bool:
    """A statement that computes nothing: a docstring, or imports for type hints alone."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    if isinstance(node, ast.If) and not node.orelse:
        name = node.test.attr if isinstance(node.test, ast.Attribute) else node.test
        return (name.id if isinstance(name, ast.Name) else name) == "TYPE_CHECKING"
    return False
