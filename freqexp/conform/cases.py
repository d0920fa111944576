"""What is checked: a method with every combination of its switches."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

from freqexp.composing.compose import compose
from freqexp.errors import ConfigError
from freqexp.outside.own import MODULES
from freqexp.outside.source import source_of
from freqexp.paths import conf_dir
from freqexp.schemas.method import CompressorConfig, Part
from freqexp.schemas.profile import ProfileConfig

KEEP_RATIOS = (0.01, 0.3, 0.5, 0.7, 1.0)
TEXT = ("model.input=text",)
"""What a method on text needs to be composed."""
PROFILES = sorted(path.stem for path in (conf_dir() / "profile").glob("*.yaml"))


@dataclass(frozen=True)
class Case:
    """A method as Hydra composed it, with one combination of its switches.

    faults: why it can't be built here.
    """

    name: str
    config: CompressorConfig
    faults: tuple[str, ...] = ()

    def build(self, keep_ratio: float = 0.5, profile: str = "aggressive") -> Any:
        """The compressor. Raises what building raises."""
        return Part(self.config, keep_ratio).build(load_profile(profile))

    @property
    def is_from_outside(self) -> bool:
        """Whether the method is not this package's."""
        return source_of(type(self.config)) is not None

    @property
    def is_installed(self) -> bool:
        """Whether whoever has the package installed has the method: not of a user's own file."""
        return not type(self.config).__module__.startswith(MODULES)


@functools.cache
def load_profile(name: str) -> ProfileConfig:
    """A profile by its name."""
    return compose((f"profile={name}",)).profile


def switches(config: CompressorConfig) -> Iterator[dict[str, Any]]:
    """Every combination of the boolean and enumerated settings."""
    choices: dict[str, list[object]] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, bool):
            choices[field.name] = [True, False]
        elif isinstance(value, Enum):
            choices[field.name] = list(type(value))
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def cases_of(option: str, overrides: Sequence[str] = ()) -> list[Case]:
    """The combinations of an option that its schema allows.

    Raises ConfigError for an option that can't be composed or built here.
    """
    composed = compose((f"compressor={option}", *overrides)).compressor
    found = []
    for settings in switches(composed):
        config = replace(composed, **settings)
        if not config.check("compressor"):
            shown = [getattr(value, "name", str(value)) for value in settings.values()]
            pairs = [f"{k}={v}" for k, v in zip(settings, shown, strict=True)]
            found.append(Case(",".join([option, *pairs]), config))
    return found


def cases_or_fault(option: str, schema: type[CompressorConfig]) -> list[Case]:
    """The same; of an option that this machine can't build, such as a program that is not
    installed, one case with what is wrong.
    """
    try:
        return cases_of(option, TEXT if schema.stage == "text" else ())
    except ConfigError as error:
        return [Case(option, schema(name=option), error.faults)]
