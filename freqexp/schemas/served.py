"""Schema of `model=api`: a model behind a chat completions endpoint of the OpenAI type."""

from __future__ import annotations

import os
import re
from dataclasses import MISSING, dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from freqexp.errors import fault
from freqexp.schemas import ranges
from freqexp.schemas.choices import Attention, Device, Family
from freqexp.schemas.model import ModelConfig

NOT_SCORED = frozenset(
    {
        "endpoint",
        "key_env",
        "concurrency",
        "retries",
        "timeout_s",
        "backoff_s",
        "price_in",
        "price_out",
    }
)
"""Settings that say where and how a model is called, not which one or what it is asked."""

_OURS = frozenset({"model", "messages", "stream"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class ServedConfig(ModelConfig):
    """A model that a server runs.

    endpoint: URL up to /chat/completions; nothing is called without one. served: what the server
        calls the model. key_env: the environment variable with the key; None: no key is sent.
    concurrency: requests in flight at once. retries: how often a request is made again after the
        first time. timeout_s: seconds that one may take. backoff_s: seconds before the first retry,
        twice as many before each further one, where the server names none.
    extra_body: what else a request holds, or holds in place of what it has; null takes a key out.
    price_in, price_out: of a million prompt and completion tokens; None: no cost is told.
    """

    endpoint: str | None = None
    served: str = ""
    key_env: str | None = None
    concurrency: int = 32
    retries: int = 6
    timeout_s: float = 600.0
    backoff_s: float = 1.0
    extra_body: dict[str, Any] = field(default_factory=dict)
    price_in: float | None = None
    price_out: float | None = None

    def check(self, prefix: str) -> list[str]:
        faults = super().check(prefix)
        faults += ranges.integers(self, prefix, ("concurrency",), 1, 1024)
        faults += ranges.integers(self, prefix, ("retries",), 0, 100)
        faults += ranges.positive(self, prefix, ("timeout_s", "backoff_s"))
        prices = tuple(
            name for name in ("price_in", "price_out") if getattr(self, name) is not None
        )
        faults += ranges.not_negative(self, prefix, prices)
        if not self.served.strip():
            allowed = "the name by which the server knows the model"
            faults.append(fault(f"{prefix}.served", self.served, allowed))
        for name in sorted(_OURS & set(self.extra_body)):
            allowed = f"other keys than {', '.join(sorted(_OURS))}, which requests are made of"
            faults.append(fault(f"{prefix}.extra_body.{name}", self.extra_body[name], allowed))
        return faults + self._check_endpoint(prefix) + self._check_key(prefix)

    def _check_endpoint(self, prefix: str) -> list[str]:
        """Never with the value of one that holds a secret: faults are shown and logged."""
        key = f"{prefix}.endpoint"
        if self.endpoint is None:
            allowed = "the URL of a server, as in http://localhost:8000/v1; nothing else is called"
            return [fault(key, None, allowed)]
        try:
            parts = urlsplit(self.endpoint)
            _ = parts.port
        except ValueError as error:
            return [f"{key}: no URL ({error})"]
        if "@" in parts.netloc or parts.query or parts.fragment:
            allowed = (
                f"one without user, password, '?' and '#': it is written down, and a key is taken "
                f"from the variable that {prefix}.key_env names"
            )
            return [fault(key, f"{parts.scheme}://{parts.hostname}...", allowed)]
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return [fault(key, self.endpoint, "a URL that begins with http:// or https://")]
        return []

    def _check_key(self, prefix: str) -> list[str]:
        """Never with the value: somebody may have typed the key itself."""
        if self.key_env is None:
            return []
        if not _VARIABLE.fullmatch(self.key_env) or not os.environ.get(self.key_env):
            return [
                f"{prefix}.key_env: names no environment variable that is set, allowed: null, or "
                "the name of the variable that holds the key (never the key itself)"
            ]
        value = os.environ[self.key_env]
        if not value.isascii() or not value.isprintable() or value != value.strip():
            return [
                f"{prefix}.key_env: the variable {self.key_env} holds characters that no header "
                "may have, allowed: printable ASCII without spaces around it"
            ]
        return []

    def _check_family(self, prefix: str) -> list[str]:
        """What is a matter of weights that are here says nothing of a server's."""
        if self.family is not Family.api:
            return [fault(f"{prefix}.family", self.family.value, "api with model=api")]
        faults = []
        for each in fields(ModelConfig):
            if each.name not in _OF_WEIGHTS:
                continue
            value = getattr(self, each.name)
            usual = _USUAL.get(each.name, each.default)
            assert usual is not MISSING
            if value != usual:
                shown, word = (getattr(one, "value", one) for one in (value, usual))
                word = "null" if word is None else str(word).lower()
                allowed = f"{word} for api: the server decides"
                faults.append(fault(f"{prefix}.{each.name}", shown, allowed))
        return faults


_USUAL = {"device": Device.cpu, "attention": Attention.sdpa, "batch_size": 1}
_OF_WEIGHTS = frozenset(
    {
        *("path", "revision", "adapter", "dtype", "device", "attention", "trust_remote_code"),
        *("repetition_penalty", "batch_size", "context", "min_pixels", "max_pixels"),
    }
)
