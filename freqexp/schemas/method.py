"""What the schemas of all compression methods share, and the baseline's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from freqexp.errors import UserError, fault
from freqexp.outside.source import Source, source_of
from freqexp.schemas.section import Section

if TYPE_CHECKING:
    from freqexp.codecs.base import Codec
    from freqexp.kv.base import KVMethod
    from freqexp.nouns.vision import Signal
    from freqexp.schemas.profile import ProfileConfig
    from freqexp.tokens.base import TokenCompressor
    from freqexp.tokens.layer_base import LayerMethod
    from freqexp.tokens.truncate import Truncate

DRAWS = "seeds"
"""How many draws a point stands for; what one run is does not depend on it."""

# Where a method acts: nowhere, on page images before the vision encoder, on vision tokens after it,
# on those inside the decoder, on its KV cache, or at several of these but the decoder at once; on a
# conversation that is given as text.
StageName = Literal["none", "codec", "token", "decoder", "kv", "combined", "text"]


class Part(NamedTuple):
    """A method that acts in a run, and the share it keeps, in (0, 1]."""

    config: CompressorConfig
    keep_ratio: float

    def build(
        self, profile: ProfileConfig
    ) -> Codec | TokenCompressor | LayerMethod | KVMethod | Truncate:
        """The compressor. Raises what `config.build` raises; of a method from outside everything
        becomes a UserError that says whose it is, and so does a compressor of another stage.
        """
        source = source_of(type(self.config))
        try:
            built = self.config.build(self.keep_ratio, profile)
        except UserError:
            raise
        except Exception as error:
            if source is None:
                raise
            why = f"{type(error).__name__}: {error}"
            raise self._refused(source, f"a method that can be built ({why})") from error
        wanted = stage_type(self.config.stage)
        if source is not None and not isinstance(built, wanted):
            why = f"{type(built).__name__} is no {wanted.__name__}"
            raise self._refused(source, f"one that builds what its stage says ({why})")
        assert built is not None
        return built

    def _refused(self, source: Source, allowed: str) -> UserError:
        name = self.config.name
        return UserError(fault("compressor", name, f"{allowed}; this is of {source.owner}"))


def stage_type(stage: StageName) -> type:
    """What a method of a stage builds."""
    if stage == "codec":
        from freqexp.codecs.base import Codec

        return Codec
    if stage == "token":
        from freqexp.tokens.base import TokenCompressor

        return TokenCompressor
    if stage == "decoder":
        from freqexp.tokens.layer_base import LayerMethod

        return LayerMethod
    if stage == "text":
        from freqexp.tokens.truncate import Truncate

        return Truncate
    assert stage == "kv", stage
    from freqexp.kv.base import KVMethod

    return KVMethod


@dataclass
class CompressorConfig(Section):
    """A compression method. `uses_*` say which shared settings reach the result."""

    name: str
    stage: ClassVar[StageName] = "none"
    control: ClassVar[str] = ""
    """In words, for what any method must beat to be worth its name; empty for a method."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What the method needs of a model beside its vision tokens."""
        return ()

    @property
    def adaptive(self) -> bool:
        """Whether the page decides how many tokens stay, see `TokenCompressor.adaptive`."""
        return False

    @property
    def before_encoder(self) -> bool:
        """Whether tokens are dropped before the vision encoder."""
        return False

    @property
    def uses_keep_ratio(self) -> bool:
        """Whether `keep_ratio` can change what this compressor does."""
        return self.stage != "none" and not self.adaptive

    @property
    def uses_budget(self) -> bool:
        """Whether a count of tokens, `keep_tokens` or `keep_like`, can replace the keep ratio."""
        return self.stage in ("token", "decoder") and self.uses_keep_ratio

    @property
    def uses_keep_tokens(self) -> bool:
        """Whether `keep_tokens` can replace the keep ratio."""
        return self.uses_budget or (self.stage in ("kv", "text") and self.uses_keep_ratio)

    @property
    def uses_keep_ratio_beside_budget(self) -> bool:
        """Whether `keep_ratio` still acts where a count of tokens was given."""
        return self.uses_keep_ratio and not self.uses_keep_tokens

    @property
    def uses_profile(self) -> bool:
        """Whether `profile` can change what this compressor does."""
        return False

    @property
    def title(self) -> str:
        """What people see: the name, or the names of the parts."""
        return self.name

    @property
    def unshown(self) -> tuple[str, ...]:
        """Settings that tables leave out."""
        return ()

    def draws(self) -> list[CompressorConfig]:
        """What a point with this method stands for: one run each."""
        return [self]

    def parts(self, keep_ratio: float) -> tuple[Part, ...]:
        """The methods that act, in the order in which a sample meets them; none for the baseline.

        keep_ratio: the run's, for every part without one of its own.
        """
        return () if self.stage == "none" else (Part(self, keep_ratio),)

    def identity(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What of this method's settings, `settings` as a mapping, its run's identity has.

        Raises UserError for a file that can't be read.
        """
        return settings

    def check_keep_ratio(self, keep_ratio: float) -> list[str]:
        """Faults of a keep ratio that is in range but does not go with the other settings."""
        return []

    def build(
        self, keep_ratio: float, profile: ProfileConfig
    ) -> Codec | TokenCompressor | LayerMethod | KVMethod | Truncate | None:
        """The compressor of these settings; None where nothing is compressed.

        For a method alone: a combination is built part by part (`parts`).
        """
        raise TypeError(f"{type(self).__name__} builds nothing by itself")


@dataclass
class NoneConfig(CompressorConfig):
    """No compression: the baseline, on the same path as every method."""

    name: str = "none"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> None:
        """Nothing to build."""
