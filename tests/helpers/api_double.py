"""A chat completions endpoint on the loopback that fails in the ways that servers do."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-0123456789"
FAILURES = ("500", "429", "cut", "slow", "json")
"""One after the other, each in place of every tenth answer that is asked for."""


class Double(ThreadingHTTPServer):
    """bodies, headers: of all requests, as they came. failed: how many in which way.

    status: answers everything with it, where it is not 200. hold: seconds before an answer.
    slow: in the middle of a slow one. failing: whether every tenth request fails. failure: how
    every one does. peak: most requests at once. crowd: how many have to be there before one is
    answered.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.failed: Counter[str] = Counter()
        self.status = 200
        self.failing = False
        self.failure: str | None = None
        self.hold = 0.0
        self.crowd = 0
        self.crowded = threading.Event()
        self.slow = 0.5
        self.text = "an answer"
        self.now = self.peak = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that were killed are no news."""

    def fault(self) -> str | None:
        """How this request is to fail, noted."""
        number = len(self.bodies)
        name = self.failure
        if self.failing and number % 10 == 0:
            name = FAILURES[number // 10 % len(FAILURES)]
        if name is not None:
            self.failed[name] += 1
        return name


class Handler(BaseHTTPRequestHandler):
    server: Double
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server
        data = self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            server.bodies.append(json.loads(data))
            server.headers.append(dict(self.headers))
            fault = server.fault()
            server.now += 1
            server.peak = max(server.peak, server.now)
            if server.now >= server.crowd:
                server.crowded.set()
        try:
            self.reply(data, fault)
        finally:
            with server.lock:
                server.now -= 1

    def reply(self, data: bytes, fault: str | None) -> None:
        if self.server.status != 200:
            told = f"no, {self.headers.get('Authorization')}"
            self.whole(self.server.status, json.dumps({"error": {"message": told}}))
        elif fault == "500":
            self.whole(500, "<html>broken</html>")
        elif fault == "429":
            self.whole(429, '{"error": {"message": "slow down"}}', {"Retry-After": "0.02"})
        else:
            self.server.crowded.wait(20)
            time.sleep(self.server.hold)
            self.stream(data, fault)

    def whole(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def stream(self, data: bytes, fault: str | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        text = self.server.text
        self.event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        self.event({"choices": [{"delta": {"content": text[:3]}}]})
        if fault == "cut":
            self.close_connection = True
            return
        if fault == "slow":
            time.sleep(self.server.slow)
        if fault == "json":
            self.chunk(b'data: {"choices": [\n\n')
        self.event({"choices": [{"delta": {"content": text[3:]}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": len(data), "completion_tokens": 4}
        self.event({"choices": [], "usage": usage})
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def event(self, value: dict[str, Any]) -> None:
        self.chunk(f"data: {json.dumps(value)}\n\n".encode())

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


@contextmanager
def serving() -> Iterator[Double]:
    """A double that answers until the block ends."""
    double = Double()
    thread = threading.Thread(target=double.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield double
    finally:
        double.shutdown()
        double.server_close()
        thread.join()
