"""Nothing unpickles a file that a user could be given."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import freqexp

ROOT = Path(freqexp.__file__).parents[1]
MODULES = [
    file for folder in ("freqexp", "launchers", "bench") for file in (ROOT / folder).rglob("*.py")
]
# What it unpickles it has pickled itself, in the same process, to copy it fast.
IN_MEMORY = {"launchers/hydra_plugins/freqexp_local/plugins.py": ["pickle.loads(base)"]}
UNPICKLERS = ("pickle.load", "pickle.Unpickler", "joblib.load", "shelve.open", "dill.load")


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Calls that can run what a file says."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, text = ast.unparse(node.func), ast.unparse(node)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name.startswith(UNPICKLERS) or given.get("allow_pickle") == "True":
            yield text
        if name == "torch.load" and given.get("weights_only") != "True":
            yield text
        if name == "yaml.load" and "Loader" not in given:
            yield text


def test_no_module_unpickles_a_file() -> None:
    found = {
        file.relative_to(ROOT).as_posix(): list(unsafe(ast.parse(file.read_text())))
        for file in MODULES
    }
    assert len(found) > 200
    assert {name: calls for name, calls in found.items() if calls} == IN_MEMORY


@pytest.mark.parametrize(
    "text",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "pickle.load(file)",
        "pickle.loads(data)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
    ],
)
def test_what_would_be_found(text: str) -> None:
    assert list(unsafe(ast.parse(text))) == [text]
