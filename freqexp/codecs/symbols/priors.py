"""Pages of examples that come with freqexp, and those in files."""

from __future__ import annotations

import functools
from pathlib import Path

from freqexp.codecs.base import decode
from freqexp.codecs.symbols.known import Prior
from freqexp.coding.bitstream import BitstreamError
from freqexp.errors import UserError
from freqexp.paths import package_dir

FOLDER = package_dir() / "models" / "priors"
BUNDLED = (
    ("glyph_9.fqxp", "4d04bbc4"),
    ("glyph_12.fqxp", "05b9c345"),
    ("glyph_14.fqxp", "63280ad2"),
    ("glyph_16.fqxp", "57781dc2"),
    ("cells_23.fqxp", "787320f2"),
)
"""Files, and the names that bitstreams know them by."""

_loaded: dict[bytes, Prior] = {}


@functools.cache
def bundled_priors() -> tuple[Prior, ...]:
    """Those in the package. Raises UserError when one is missing or another one."""
    found = []
    for file, name in BUNDLED:
        prior = load_prior(FOLDER / file)
        if prior.name.hex() != name:
            raise UserError(f"prior {file}: is {prior.name.hex()}, this program needs {name}")
        found.append(prior)
    return tuple(found)


@functools.lru_cache(maxsize=16)
def load_prior(path: Path) -> Prior:
    """The prior in a file: a bitstream of one gray page. Raises UserError when it can't be read,
    BitstreamError when it is none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"prior {path}: can't be read: {error.strerror or error}") from error
    page = decode(data)
    if page.ndim != 2:
        raise BitstreamError(f"prior {path}: a page with {page.shape[2]} channels, allowed: gray")
    prior = Prior.of(page, data)
    _loaded[prior.name] = prior
    return prior


def named_prior(name: bytes) -> Prior:
    """The prior with this hash, of those in the package or loaded before.

    Raises BitstreamError when it is not there.
    """
    bundled_priors()
    if name not in _loaded:
        here = ", ".join(known.hex() for known in _loaded) or "none"
        raise BitstreamError(f"symbols: needs the prior {name.hex()}, here are {here}")
    return _loaded[name]
