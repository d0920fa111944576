"""The second door: codecs that packages offer in the entry-point group `freqexp.codecs`."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import io
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from freqexp.codecs.external.process import Program
from freqexp.errors import UserError, fault
from freqexp.nouns.page import Pixels

GROUP = "freqexp.codecs"
FIELD = "compressor.entry"
BUNDLED: Mapping[str, str] = {"deflate": "freqexp.codecs.external.deflate"}
"""Modules of this package that need no entry point."""


@dataclass(frozen=True)
class Loaded:
    """What an entry point leads to, checked.

    codec: has `encode(page) -> bytes` and `decode(bytes) -> page`. version, side_bytes: as it says,
    else "" and 0. identity: what a run's id has of it.
    """

    codec: Any
    version: str
    side_bytes: int
    identity: dict[str, Any]


def names() -> list[str]:
    """Of all entry points there are, and of those of this package."""
    return sorted({*BUNDLED, *importlib.metadata.entry_points(group=GROUP).names})


@functools.cache
def loaded(name: str) -> Loaded:
    """The codec of an entry point, made once a process; a class is called without arguments.

    Raises UserError for a name that nothing has, what can't be loaded, and what is no codec.
    """
    if name not in names():
        raise refused(name, f"a codec that is installed: {', '.join(names())}")
    package: dict[str, Any] = {}
    try:
        if name in BUNDLED:
            codec: Any = importlib.import_module(BUNDLED[name])
        else:
            point = importlib.metadata.entry_points(group=GROUP)[name]
            if point.dist is not None:
                package = {"package": point.dist.name, "package_version": point.dist.version}
            codec = point.load()
        codec = codec() if isinstance(codec, type) else codec
    # Other people's code, with exceptions of every type.
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise refused(name, f"an entry point of {GROUP} that can be loaded ({why})") from error
    version, side_bytes = getattr(codec, "version", ""), getattr(codec, "side_bytes", 0)
    wrong = [f"{way} can't be called" for way in ("encode", "decode") if not _has(codec, way)]
    if not isinstance(version, str):
        wrong.append(f"version is {version!r}, not a text")
    if not isinstance(side_bytes, int) or isinstance(side_bytes, bool) or side_bytes < 0:
        wrong.append(f"side_bytes is {side_bytes!r}, not a number of bytes")
    if wrong:
        raise refused(name, f"an object with encode and decode ({'; '.join(wrong)})")
    identity = {"entry": name, **package, "version": version, "side_bytes": side_bytes}
    return Loaded(codec, version, side_bytes, identity)


def refused(name: str, allowed: str) -> UserError:
    """The error of an entry point."""
    return UserError(fault(FIELD, name, allowed))


def encoded(name: str, pixels: Pixels) -> bytes:
    """What the codec makes of a page. Raises UserError when it fails, or gives no bytes or none."""
    try:
        data = loaded(name).codec.encode(pixels.copy())
    except UserError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise refused(name, f"a codec that encodes this page ({why})") from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise refused(name, f"a codec whose encode gives bytes ({type(data).__name__})")
    if not data:
        raise refused(name, "a codec whose encode gives a byte or more (0)")
    return bytes(data)


def decoded(name: str, data: bytes, shape: tuple[int, ...]) -> Pixels:
    """The page of `shape`. Raises UserError when decoding fails or gives something else."""
    try:
        found = loaded(name).codec.decode(data)
    except UserError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise refused(name, f"a codec that decodes these bytes ({why})") from error
    wanted = f"uint8 {list(shape)}"
    if not isinstance(found, np.ndarray):
        raise refused(name, f"a codec whose decode gives {wanted} ({type(found).__name__})")
    if found.dtype != np.uint8 or found.shape != shape:
        what = f"{found.dtype} {list(found.shape)}"
        raise refused(name, f"a codec whose decode gives {wanted} ({what})")
    return np.array(found, order="C")


def elsewhere(name: str, way: str, timeout: float) -> Program:
    """The same codec in a process of its own: `way` is encode (.npy to bytes) or decode.

    What can be imported here can be imported there.
    """
    literal = [word.replace("{", "{{").replace("}", "}}") for word in (name, way)]
    return Program(
        field=FIELD,
        shown=f"{name} ({way}, in another process)",
        words=(sys.executable, "-m", f"{__package__}.again", *literal, "{input}", "{output}"),
        timeout=timeout,
        environment={"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
    )


def to_npy(pixels: Pixels) -> bytes:
    """A page as a file of NumPy's."""
    buffer = io.BytesIO()
    np.save(buffer, pixels, allow_pickle=False)
    return buffer.getvalue()


def from_npy(data: bytes) -> Pixels:
    """The page of such a file."""
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


def _has(codec: object, way: str) -> bool:
    return callable(getattr(codec, way, None))
