"""Whether a W&B server can be used, found out within seconds, and how a client of it is set up."""

from __future__ import annotations

import netrc
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

REACH_SECONDS = 3.0


def within(seconds: float, action: Callable[[], Any]) -> Any:
    """What `action` gives. Raises TimeoutError when it takes longer; it is left behind then."""
    outcome: dict[str, Any] = {}

    def call() -> None:
        try:
            outcome["value"] = action()
        except BaseException as error:
            outcome["error"] = error

    worker = threading.Thread(target=call, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if "error" in outcome:
        raise outcome["error"]
    return outcome.get("value")


def has_key(base_url: str) -> bool:
    """Whether an API key for the server is in the environment or in netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    names = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    for name in names:
        try:
            entry = netrc.netrc(os.path.expanduser(name)).hosts.get(urlsplit(base_url).netloc)
        except (OSError, netrc.NetrcParseError):
            continue
        if entry is not None:
            return True
    return False


def reachable(base_url: str) -> bool:
    """Whether anything answers at the server's address, asked through the proxy if there is one."""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(base_url, timeout=REACH_SECONDS):
                return True
        except urllib.error.HTTPError as answer:
            answer.close()
            return True

    try:
        # The limit around it is for name servers that do not answer.
        return bool(within(REACH_SECONDS + 1, ask))
    except (OSError, TimeoutError, ValueError):
        return False


def quiet_settings(**limits: Any) -> Any:
    """wandb.Settings of a mirror: it prints nothing and looks at nothing but what it is given.

    limits: how long it may wait for what, by the names of wandb.Settings.
    """
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        **limits,
    )
