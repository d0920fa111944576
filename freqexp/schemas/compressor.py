"""Schemas of the group `compressor`: one class a method, found in the modules of this room."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, get_args

import freqexp.schemas
from freqexp.errors import ConfigError, fault
from freqexp.outside.entries import METHODS, entries
from freqexp.schemas import outside
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.method import CompressorConfig, NoneConfig, Part, StageName
from freqexp.schemas.section import option_name, options_in
from freqexp.schemas.tokens import TokenConfig


@dataclass
class CombinedConfig(CompressorConfig):
    """Several methods in one run, each at its own stage; `none` leaves a stage alone.

    codec_keep_ratio, token_keep_ratio, kv_keep_ratio: the share that part keeps; None: what the run
        says, its keep_ratio or, for tokens, its keep_tokens or keep_like. Where no method on tokens
        takes keep_tokens, the one on the cache does.
    """

    name: str = "combined"
    codec: CompressorConfig = field(default_factory=BlockDctConfig)
    token: CompressorConfig = field(default_factory=TokenConfig)
    kv: CompressorConfig = field(default_factory=NoneConfig)
    codec_keep_ratio: float | None = None
    token_keep_ratio: float | None = None
    kv_keep_ratio: float | None = None
    stage: ClassVar[StageName] = "combined"
    places: ClassVar[tuple[StageName, ...]] = ("codec", "token", "kv")

    def _placed(self) -> list[tuple[StageName, CompressorConfig, float | None]]:
        """Each place in order: its name, its method (maybe `none`) and its own keep ratio."""
        return [
            (place, getattr(self, place), getattr(self, f"{place}_keep_ratio"))
            for place in self.places
        ]

    def draws(self) -> list[CompressorConfig]:
        drawn = itertools.product(self.token.draws(), self.kv.draws())
        return [replace(self, token=token, kv=kv) for token, kv in drawn]

    @property
    def title(self) -> str:
        return "+".join(part.config.name for part in self.parts(1.0)) or "none"

    @property
    def uses_keep_ratio(self) -> bool:
        return any(config.uses_keep_ratio and own is None for _, config, own in self._placed())

    @property
    def uses_budget(self) -> bool:
        return any(config.uses_budget and own is None for _, config, own in self._placed())

    @property
    def uses_keep_tokens(self) -> bool:
        return any(config.uses_keep_tokens and own is None for _, config, own in self._placed())

    @property
    def uses_keep_ratio_beside_budget(self) -> bool:
        counted = "token" if self.uses_budget else "kv"
        return any(
            own is None
            and config.uses_keep_ratio
            and not (place == counted and config.uses_keep_tokens)
            for place, config, own in self._placed()
        )

    @property
    def uses_profile(self) -> bool:
        return any(config.uses_profile for _, config, _ in self._placed())

    def parts(self, keep_ratio: float) -> tuple[Part, ...]:
        return tuple(
            Part(config, keep_ratio if own is None else own)
            for _, config, own in self._placed()
            if config.stage != "none"
        )

    def identity(self, settings: dict[str, Any]) -> dict[str, Any]:
        inside: dict[str, Any] = {
            place: config.identity(settings[place]) for place, config, _ in self._placed()
        }
        return {**settings, **inside}

    def check(self, prefix: str) -> list[str]:
        faults = []
        for place, config, own in self._placed():
            if config.stage not in ("none", place):
                allowed = ", ".join(names_at(place))
                faults.append(fault(f"{prefix}.{place}", config.name, allowed))
                continue
            faults += config.check(f"{prefix}.{place}")
            if own is None or config.stage == "none":
                continue
            name = f"{prefix}.{place}_keep_ratio"
            if not config.uses_keep_ratio:
                faults.append(fault(name, own, f"null ({config.name} has no use for it)"))
            elif not 0 < own <= 1:
                faults.append(fault(name, own, "a number above 0 and at most 1, or null"))
        return faults


def names_at(place: str) -> list[str]:
    """Names of the methods that may stand at a place of a combination, those of installed packages
    among them.
    """
    ours = (option_name(option) for option in COMPRESSORS if option.stage in ("none", place))
    return sorted({*ours, *outside.names_offered(place)})


def offers(name: str, folders: Iterable[Path | str] = ()) -> list[outside.Offer]:
    """Methods of this name from outside; a codec for `external` takes no built-in name away."""
    found = outside.offers(name, folders)
    if any(option_name(option) == name for option in COMPRESSORS):
        found = [offer for offer in found if outside.is_option(offer)]
    return found


def chosen(
    name: object, folders: Iterable[Path | str] = (), field: str = "compressor"
) -> type[CompressorConfig]:
    """The schema of a method by its name: of this package, of an installed one, or of a file in one
    of these folders.

    field: the setting that chose it. Raises ConfigError for a name that nobody has or more than
    one, and for a method from outside that can't be used.
    """
    ours = {option_name(option): option for option in COMPRESSORS}
    others = offers(name, folders) if isinstance(name, str) else []
    owners = ["built in"] * (name in ours) + [offer.owner for offer in others]
    if len(owners) > 1:
        allowed = f"a name of one method; several have it: {', '.join(owners)}"
        raise ConfigError([fault(field, name, allowed)])
    if others:
        return outside.loaded(others[0], field)
    if name not in ours:
        names = [*ours, *(entry.name for entry in entries(*METHODS))]
        raise ConfigError([fault(field, name, ", ".join(names))])
    return ours[str(name)]


def controls() -> dict[str, str]:
    """What any method must beat: the option's name, and what it is in words."""
    return {option_name(option): option.control for option in COMPRESSORS if option.control}


def adaptive_options() -> dict[str, CompressorConfig]:
    """Token methods whose count follows from the page, by name, with their default settings."""
    options = [option(name=option_name(option)) for option in COMPRESSORS]
    return {made.name: made for made in options if made.stage == "token" and made.adaptive}


def built_in() -> tuple[type[CompressorConfig], ...]:
    """The methods that the modules of this room define, by stage, module and place in it."""
    names = sorted(module.name for module in pkgutil.iter_modules(freqexp.schemas.__path__))
    modules = [importlib.import_module(f"{freqexp.schemas.__name__}.{name}") for name in names]
    stages = get_args(StageName)
    return tuple(sorted(options_in(modules, CompressorConfig), key=lambda o: stages.index(o.stage)))


COMPRESSORS = built_in()
