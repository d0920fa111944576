"""Schema of codecs from elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freqexp.errors import fault
from freqexp.schemas.choices import Picture
from freqexp.schemas.codecs import CodecConfig

if TYPE_CHECKING:
    from freqexp.codecs.base import Codec
    from freqexp.codecs.external.settings import ExternalSettings
    from freqexp.schemas.profile import ProfileConfig

LABEL = re.compile(r"[A-Za-z0-9._-]{1,40}")
NAMED_BY_LABEL = ("encode", "decode", "input_format", "output_format", "suffix", "files")


@dataclass
class ExternalConfig(CodecConfig):
    """A codec of the user's: two commands, or an entry point that an installed package offers.

    encode, decode: a program and its arguments, in which {input}, {output} and {quality} stand for
    the files of a call and for `quality`. entry: a name in the entry-point group `freqexp.codecs`;
    None without commands: `deflate`, the example. input_format: what the encoder reads.
    output_format: what the decoder writes. threshold, with input_format=pbm: gray levels below it
    are black. suffix: of the encoded file's name. files: side data; a page counts a hundredth of
    it. timeout: seconds for each call. label: what tables call it, in place of the commands.
    """

    name: str = "external"
    encode: list[str] | None = None
    decode: list[str] | None = None
    entry: str | None = None
    input_format: Picture = Picture.png
    output_format: Picture = Picture.png
    threshold: int = 128
    suffix: str = ".bin"
    files: list[str] = field(default_factory=list)
    quality: str | None = None
    timeout: float = 60.0
    label: str | None = None

    @property
    def uses_keep_ratio(self) -> bool:
        return False

    @property
    def unshown(self) -> tuple[str, ...]:
        named = () if self.label is None else NAMED_BY_LABEL
        return ("timeout", *named)

    def settings(self) -> ExternalSettings:
        """As the codec takes them."""
        from freqexp.codecs.external.settings import ExternalSettings

        return ExternalSettings(
            encode=tuple(self.encode or ()),
            decode=tuple(self.decode or ()),
            entry=self.entry,
            input_format=self.input_format.value,
            output_format=self.output_format.value,
            threshold=self.threshold,
            suffix=self.suffix,
            files=tuple(self.files),
            quality=self.quality,
            timeout=self.timeout,
        )

    def identity(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"name": self.name, **self.settings().identity()}

    def check(self, prefix: str) -> list[str]:
        faults = self.settings().faults(f"{prefix}.")
        if self.label is not None and not LABEL.fullmatch(self.label):
            allowed = "up to 40 letters, digits, '.', '_' and '-', or null"
            faults.append(fault(f"{prefix}.label", self.label, allowed))
        return faults

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.external.codec import External

        return External(self.settings())
