"""`python -m freqexp.codecs.external.again NAME encode|decode INPUT OUTPUT`: one call of an entry
point in a process of its own, to see whether it does the same there. A page is a .npy file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from freqexp.codecs.external.plugins import from_npy, loaded, to_npy


def main(name: str, way: str, source: str, target: str) -> None:
    """Read, encode or decode, write."""
    data, codec = Path(source).read_bytes(), loaded(name).codec
    if way == "encode":
        Path(target).write_bytes(bytes(codec.encode(from_npy(data))))
    else:
        Path(target).write_bytes(to_npy(codec.decode(data)))


if __name__ == "__main__":
    main(*sys.argv[1:])
