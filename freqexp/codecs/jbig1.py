"""JBIG1, the two-level format of ITU-T T.82."""

from __future__ import annotations

import struct

from freqexp.codecs.programs import ProgramError, run
from freqexp.codecs.two_levels import MEMORY_BYTES, TwoLevelCodec

# Layers 0 to 0, one plane; width, height and rows of a stripe; shift of the adaptive pixel (8, 0);
# order 3; options 28: both predictions, three-line template.
_HEAD = struct.Struct(">4BIII4B")
_LAYERS, _ORDERS = (0, 0, 1, 0), (8, 0, 3, 28)


class Jbig1(TwoLevelCodec):
    """JBIG1 (ITU-T T.82) by JBIG-KIT's `pbmtojbg` and `jbgtopbm`: each pixel is coded given ten
    neighbours. One layer, one stripe: fewer bytes than at the program's defaults.
    """

    code = 15
    programs = ("pbmtojbg", "jbgtopbm")
    package = "jbigkit-bin"

    def write(self, page: bytes, height: int, width: int) -> bytes:
        """The file without its head, which says the size and the options above."""
        made = run(["pbmtojbg", "-q", "-s", str(height), "-"], page)
        head = _head(height, width)
        if not made.startswith(head):
            raise ProgramError("pbmtojbg: wrote another head than that of one layer and stripe")
        return made[len(head) :]

    @classmethod
    def read(cls, data: bytes, height: int, width: int) -> bytes:
        """See `TwoLevelCodec`."""
        made = _head(height, width) + data
        return run(["jbgtopbm", "-"], made, memory_bytes=MEMORY_BYTES)


def _head(height: int, width: int) -> bytes:
    return _HEAD.pack(*_LAYERS, width, height, height, *_ORDERS)
