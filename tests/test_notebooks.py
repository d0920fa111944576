"""The notebooks run from start to end, hold no logic and are stored without output."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import freqexp

ROOT = Path(freqexp.__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LOGIC = (ast.FunctionDef, ast.ClassDef, ast.If, ast.While, ast.Try, ast.Lambda)

pytestmark = [
    # Jupyter's own asyncio and sockets, in the process of the test.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def code(path: Path) -> list[str]:
    notebook = nbformat.read(path, as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["first_look", "paper_tables", "sweep"]


def _is_door(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "freqexp"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_without_output(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_only_calls_the_library(path: Path) -> None:
    found = [node for text in code(path) for node in ast.walk(ast.parse(text))]
    assert not [node for node in found if isinstance(node, LOGIC)]
    imported = [alias.name for n in found if isinstance(n, ast.Import) for alias in n.names]
    assert "freqexp" in imported
    modules = [str(n.module) for n in found if isinstance(n, ast.ImportFrom)]
    assert not [name for name in (*imported, *modules) if name.startswith("freqexp.")]
    used = {n.attr for n in found if isinstance(n, ast.Attribute) and _is_door(n.value)}
    assert used <= set(freqexp.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "launchers")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    shown = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in ("display_data", "execute_result")
    ]
    assert len(shown) >= 2
    assert (tmp_path / "outputs" / "notebooks" / path.stem).is_dir()
