"""JB2, the two-level format of DjVu."""

from __future__ import annotations

import struct

from freqexp.codecs.programs import INPUT, OUTPUT, ProgramError, run, run_on_files
from freqexp.codecs.two_levels import MEMORY_BYTES, TwoLevelCodec
from freqexp.errors import ConfigError, fault

# The chunk INFO: width and height, version 24 and 0, dots an inch (low byte first), gamma 2.2,
# upright. The dots of a page are in none of its pixels.
_INFO = struct.Struct(">HHBB2sBB")
_VERSION, _GAMMA, _UPRIGHT = 24, 22, 1
_DATA_AT = 12 + 4 + 8 + _INFO.size + 8


class Jb2(TwoLevelCodec):
    """JB2 (L. Bottou, P. Haffner, P. Howard, P. Simard, Y. Bengio, Y. LeCun, High quality document
    image compression with DjVu, 1998) by DjVuLibre's `cjb2` and `ddjvu`: shapes that repeat are
    coded once, or by what they differ from another.

    losslevel: 0 to 200; above 0 specks are removed and shapes that look alike become the same, the
        more of them the larger it is. dpi: 25 to 1200, by which the program judges what a speck is
        and what looks alike.
    """

    code = 14
    programs = ("cjb2", "ddjvu")
    package = "djvulibre-bin"

    def __init__(self, losslevel: int = 0, dpi: int = 300) -> None:
        """Raises ConfigError when a value is out of range or a program is not installed."""
        super().__init__()
        faults = []
        if not 0 <= losslevel <= 200:
            faults.append(fault("losslevel", losslevel, "an integer from 0 to 200"))
        if not 25 <= dpi <= 1200:
            faults.append(fault("dpi", dpi, "an integer from 25 to 1200"))
        if faults:
            raise ConfigError(faults)
        self._options = ["-dpi", str(dpi)]
        if losslevel:
            self._options += ["-losslevel", str(losslevel)]

    def write(self, page: bytes, height: int, width: int) -> bytes:
        """The chunk Sjbz: the container around it says the size alone."""
        made = run_on_files(["cjb2", *self._options, INPUT, OUTPUT], page, ".pbm")
        data = made[_DATA_AT:]
        info = made[_DATA_AT - 8 - _INFO.size : _DATA_AT - 8]
        if _container(data, info) != made or info[:4] != struct.pack(">HH", width, height):
            raise ProgramError("cjb2: wrote another container than that of a page of two levels")
        return data

    @classmethod
    def read(cls, data: bytes, height: int, width: int) -> bytes:
        """See `TwoLevelCodec`."""
        dots = struct.pack("<H", 300)
        info = _INFO.pack(width, height, _VERSION, 0, dots, _GAMMA, _UPRIGHT)
        command = ["ddjvu", "-format=pbm", "-", "-"]
        return run(command, _container(data, info), memory_bytes=MEMORY_BYTES)


def _container(data: bytes, info: bytes) -> bytes:
    """A .djvu file of one page of two levels."""
    chunks = b"DJVU" + b"".join(
        name + struct.pack(">I", len(chunk)) + chunk
        for name, chunk in ((b"INFO", info), (b"Sjbz", data))
    )
    return b"AT&TFORM" + struct.pack(">I", len(chunks)) + chunks
