from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from wandb_double import Double, wandb_double

from freqexp import workspace
from freqexp.errors import UserError
from freqexp.results.summary import Summary
from freqexp.tracking.client import BUDGETS

wandb = pytest.importorskip("wandb")
pytest.importorskip("wandb_workspaces")

# wandb-workspaces 0.4 itself still uses what its own dependency has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with wandb_double() as double:
        monkeypatch.setenv("WANDB_BASE_URL", double.url)
        yield double
        wandb.teardown()


def test_a_workspace_shows_accuracy_against_each_budget(
    server: Double, capsys: pytest.CaptureFixture[str]
) -> None:
    assert workspace.main(["night", "--project", "p"]) == 0
    assert capsys.readouterr().out.startswith(f"{server.url}/me/p?nw=")
    (view,) = server.views
    assert (view["entityName"], view["projectName"]) == ("me", "p")
    section = json.loads(view["spec"])["section"]
    charts = [
        panel["config"]
        for part in section["panelBankConfig"]["sections"]
        for panel in part.get("panels", [])
        if panel["viewType"] == "Scatter Plot"
    ]
    assert {chart["yAxis"] for chart in charts} == {"summary:accuracy"}
    shown = {chart["xAxis"].removeprefix("summary:") for chart in charts}
    assert shown >= set(BUDGETS)
    # Whatever is shown is there: the mirror's own metrics, or a figure of the summary.
    assert shown <= {*BUDGETS, *(field.name for field in fields(Summary))}
    (runs,) = section["runSets"]
    (rule,) = runs["filters"]["filters"]
    assert (rule["key"], rule["value"]) == ({"section": "run", "name": "group"}, "night")
    assert section["settings"]["maxRuns"] == 1000


def test_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
        with pytest.raises(UserError, match=r"pip install freqexp\[workspace\]"):
            workspace.make("night", "p", "me")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    wandb.teardown()
    assert workspace.main(["night"]) == 2
    assert capsys.readouterr().err == "freqexp: http://127.0.0.1:9 does not answer\n"
    monkeypatch.delenv("WANDB_API_KEY")
    assert workspace.main(["night"]) == 2
    assert "wandb login" in capsys.readouterr().err
