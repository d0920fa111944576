"""As much of a W&B server as the client needs for init, log, finish and resume, on the loopback."""

from __future__ import annotations

import base64
import gc
import json
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def fresh_wandb(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """No key, no proxy, no settings of this machine, and nothing of W&B left in the process."""
    import wandb

    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "HTTP_PROXY", "http_proxy"):
        patch.delenv(name, raising=False)
    patch.setenv("NETRC", str(folder / "netrc"))
    for name in ("CONFIG", "CACHE", "DATA"):
        patch.setenv(f"WANDB_{name}_DIR", str(folder / f"wandb-{name}"))
    patch.setenv("WANDB_ERROR_REPORTING", "false")
    yield
    wandb.teardown()
    # W&B does not wait for its own process when that was killed.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Double(ThreadingHTTPServer):
    """requests: operation names in order. runs: what each run id was created with.

    files: lines of each run's files. broken: answers 500. key: the one right API key, None for any.
    preempting: runs that said they are about to be preempted. views: saved workspaces.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.operations: list[str] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, dict[str, list[str]]] = {}
        self.uploads: dict[str, bytes] = {}
        self.exit_codes: dict[str, int] = {}
        self.preempting: list[str] = []
        self.views: list[dict[str, Any]] = []
        self.broken = False
        self.key: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, query: str, variables: dict[str, Any]) -> Any:
        name = (re.search(r"(?:query|mutation)\s+(\w+)", query) or [None, "?"])[1]
        self.operations.append(str(name))
        entity = {"id": "e", "name": "me"}
        if name == "Viewer":
            flags = json.dumps({"code_saving_enabled": False})
            return {"viewer": {**entity, "entity": "me", "flags": flags, "teams": {"edges": []}}}
        if name == "RunResumeStatus":
            run = self.runs.get(variables["name"])
            bucket = run and {
                "id": "b",
                "name": variables["name"],
                "summaryMetrics": self.summary(variables["name"]),
                "displayName": run["displayName"],
                "logLineCount": 0,
                "historyLineCount": len(self.history(variables["name"])),
                "eventsLineCount": 0,
                "historyTail": json.dumps(self.history(variables["name"])[-1:]),
                "eventsTail": "[]",
                "config": "{}",
                "tags": [],
                "wandbConfig": '{"t": 1}',
            }
            return {"model": {"id": "m", "name": "p", "entity": entity, "bucket": bucket}}
        if name == "UpsertBucket":
            known = variables["name"] in self.runs
            self.runs.setdefault(variables["name"], {}).update(
                {key: value for key, value in variables.items() if value is not None}
            )
            bucket = {
                "id": "b",
                "name": variables["name"],
                "displayName": variables.get("displayName"),
                "description": None,
                "config": "{}",
                "sweepName": None,
                "historyLineCount": len(self.history(variables["name"])),
                "project": {"id": "p", "name": "freqexp", "entity": entity},
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": not known}}
        if name == "CreateRunFiles":
            files = [
                {"name": file, "uploadUrl": f"{self.url}/upload/{file}"}
                for file in variables["files"]
            ]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            artifact = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s"}}
            return {"createArtifact": {"artifact": artifact}}
        if name == "ArtifactType":
            return {"project": None}
        if name == "GetDefaultEntity":
            return {"viewer": {"id": "e", "entity": "me", "username": "me"}}
        if name == "UpsertView2":
            self.views.append(variables)
            view = {"id": "v", "name": variables["name"], "type": "project-view"}
            return {"upsertView": {"view": view, "inserted": True}}
        return {}

    def summary(self, run: str) -> str:
        return (self.files.get(run, {}).get("wandb-summary.json") or ["{}"])[-1]

    def history(self, run: str) -> list[str]:
        return self.files.get(run, {}).get("wandb-history.jsonl", [])


class Handler(BaseHTTPRequestHandler):
    server: Double

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def reply(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.reply({}, 404)

    def do_PUT(self) -> None:
        self.server.uploads[self.path] = self.body()
        self.reply({})

    def do_POST(self) -> None:
        body = self.body()
        if self.server.broken:
            self.reply({}, 500)
        elif self.server.key is not None and not self.has_key():
            self.reply({"errors": [{"message": "permission denied"}]}, 401)
        elif self.path == "/graphql":
            request = json.loads(body)
            self.reply(
                {"data": self.server.answer(request["query"], request.get("variables") or {})}
            )
        elif self.path.endswith("/file_stream"):
            self.stream(self.path.split("/")[-2], json.loads(body))
        else:
            self.reply({}, 404)

    def has_key(self) -> bool:
        sent = self.headers.get("Authorization", "").removeprefix("Basic ")
        return base64.b64decode(sent).decode() == f"api:{self.server.key}"

    def stream(self, run: str, value: dict[str, Any]) -> None:
        files = self.server.files.setdefault(run, {})
        for name, part in (value.get("files") or {}).items():
            lines = files.setdefault(name, [])
            lines[part["offset"] :] = part["content"]
        if value.get("preempting"):
            self.server.preempting.append(run)
        if value.get("complete"):
            self.server.exit_codes[run] = value.get("exitcode", -1)
        self.reply({})


@contextmanager
def wandb_double() -> Iterator[Double]:
    """A running double."""
    with Double() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
