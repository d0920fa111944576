"""Requests to a chat completions endpoint, made again where that can help."""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from freqexp.errors import RunError, UserError
from freqexp.readers.served.stream import BrokenStreamError, Reply, completion, said

if TYPE_CHECKING:
    from freqexp.schemas.served import ServedConfig

PATH = "/chat/completions"
CONNECT_SECONDS = 10.0
LONGEST_WAIT = 60.0
"""Seconds before a retry, where the server names none."""
_PIECE = 1 << 16

# Refused, or elsewhere: every other request would be answered the same.
_HOPELESS = {
    401: "it doesn't take this key (model.key_env)",
    403: "it refuses this key or this model (model.key_env, model.served)",
    404: "there is no such path or model (model.endpoint, model.served)",
    405: "it takes no chat completions there (model.endpoint)",
}
_BUSY = frozenset({408, 409, 425, 429})


class _AgainError(Exception):
    """What went wrong, and how many seconds the server asks to wait, if it does."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Client:
    """Threads may ask at the same time; they share connections.

    The key is read from the environment, sent, and taken out of all that a server says.
    """

    def __init__(self, config: ServedConfig) -> None:
        assert config.endpoint is not None
        base = config.endpoint.rstrip("/")
        self.url = base if base.endswith(PATH) else base + PATH
        self._config = config
        self._key = os.environ.get(config.key_env, "") if config.key_env else ""
        if config.key_env and not self._key:
            raise RunError("model.key_env: names no environment variable that is set here")
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=config.concurrency, max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def ask(self, body: Mapping[str, Any]) -> Reply:
        """The answer to a request; `first` and `last` are seconds since it was sent the last time.

        Raises RunError where every other request would fail the same, UserError for a request that
        the server refuses, or that failed once more than `retries` times.
        """
        data = json.dumps(body).encode()
        for retries in range(self._config.retries + 1):
            try:
                reply = self._once(data)
            except _AgainError as again:
                wait, reason = again.wait, self._clean(str(again))
            else:
                return replace(reply, text=self._clean(reply.text), retries=retries)
            if wait is not None and wait > self._config.timeout_s:
                raise UserError(f"server: {reason}; it asks to wait for {wait:.0f} s")
            if retries < self._config.retries:
                time.sleep(self._pause(retries) if wait is None else wait)
        raise UserError(f"server: {reason} (given up after {self._config.retries} retries)")

    def _once(self, data: bytes) -> Reply:
        limit = self._config.timeout_s
        started = time.perf_counter()
        try:
            # `auth` is always given, as requests would look for a key in ~/.netrc by itself.
            with self._session.post(
                self.url,
                data=data,
                headers={
                    "Content-Type": "application/json",
                    "Accept": "text/event-stream",
                    "Accept-Encoding": "identity",
                },
                auth=self._sign,
                stream=True,
                allow_redirects=False,
                timeout=(min(CONNECT_SECONDS, limit), limit),
            ) as response:
                self._check(response)
                reply = completion(_reader(response, started + limit))
        except BrokenStreamError as error:
            raise _AgainError(str(error)) from error
        except UnicodeDecodeError as error:
            raise _AgainError("the stream holds no UTF-8") from error
        except requests.Timeout as error:
            raise _AgainError(f"nothing came for {limit:g} s") from error
        except (requests.RequestException, OSError) as error:
            raise _AgainError(f"the connection failed ({type(error).__name__})") from error
        except Exception as error:
            # urllib3 raises errors of its own while a stream is read, and so does http.client.
            if type(error).__module__.partition(".")[0] not in ("urllib3", "http"):
                raise
            raise _AgainError(f"the connection broke ({type(error).__name__})") from error
        return replace(reply, first=reply.first - started, last=reply.last - started)

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _check(self, response: requests.Response) -> None:
        """Raises what an answer that is no stream means."""
        status = response.status_code
        if status == 200:
            kind = response.headers.get("Content-Type", "")
            if not kind.startswith("text/event-stream"):
                raise UserError(f"server: it answers in {self._clean(kind)!r}, not with a stream")
            return
        if 300 <= status < 400:
            raise RunError(f"model.endpoint: {self.url} answers {status}: the server is elsewhere")
        words = self._clean(_body(response))
        if status in _HOPELESS:
            told = f" ({words})" if words else ""
            raise RunError(
                f"model.endpoint: {self.url} answers {status}, {_HOPELESS[status]}{told}"
            )
        if status in _BUSY or status >= 500:
            raise _AgainError(f"it answers {status} {words}".rstrip(), _wait(response))
        raise UserError(f"server: it answers {status} {words}".rstrip() + _advice(words))

    def _pause(self, retries: int) -> float:
        """Seconds, not the same in all threads."""
        longest = min(LONGEST_WAIT, self._config.backoff_s * 2.0**retries)
        return longest * random.uniform(0.5, 1.0)

    def _clean(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _reader(response: requests.Response, deadline: float) -> Callable[[], bytes]:
    """Gives what has come of a body. It raises BrokenStreamError once the deadline is over."""

    def read() -> bytes:
        piece = response.raw.read1(_PIECE)
        if time.perf_counter() > deadline:
            raise BrokenStreamError("the answer took longer than model.timeout_s")
        return bytes(piece)

    return read


def _body(response: requests.Response) -> str:
    """What an error says of itself; nothing where that can't be read."""
    text = ""
    with contextlib.suppress(Exception):
        text = response.raw.read(_PIECE).decode("utf-8", "replace")
        return said(json.loads(text))
    return said(text)


def _advice(words: str) -> str:
    """How to ask a server that does not take what is usual, by what it says of that."""
    if "max_completion_tokens" in words:
        key = "model.extra_body"
        return f" ({key}.max_tokens=null {key}.max_completion_tokens=NUMBER)"
    for name in ("temperature", "seed", "stream_options"):
        if name in words:
            return f" (model.extra_body.{name}=null leaves it out)"
    return ""


def _wait(response: requests.Response) -> float | None:
    """Seconds of a Retry-After, which may be a date (RFC 9110, 10.2.3)."""
    told = response.headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
