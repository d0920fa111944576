"""Methods from outside as options: loaded when they are chosen, and checked before they act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import get_args

from freqexp.errors import ConfigError, fault
from freqexp.outside.entries import CODECS, KV, METHODS, TOKENS, Entry, entries
from freqexp.outside.own import OwnFile, own_files
from freqexp.paths import conf_dir
from freqexp.schemas.method import CompressorConfig, StageName
from freqexp.schemas.section import option_name, options_in

STAGES: Mapping[str, tuple[StageName, ...]] = {
    CODECS: ("codec",),
    TOKENS: ("token", "decoder"),
    KV: ("kv",),
}
"""At which stages the methods of a group of entry points may act."""
ANY_STAGE: tuple[StageName, ...] = ("codec", "token", "decoder", "kv")

Offer = Entry | OwnFile


def offers(name: str, folders: Iterable[Path | str] = ()) -> list[Offer]:
    """Who offers a method of this name: installed packages, and files of these folders or of this
    package's own, where a frozen copy of the code has them.
    """
    found: list[Offer] = [entry for entry in entries(*METHODS) if entry.name == name]
    return [*found, *own_files((conf_dir(), *folders), name)]


def is_option(offer: Offer) -> bool:
    """Whether an offer may be an option: anything but a codec for `external`, which has no schema.
    What can't be loaded may be one.
    """
    if not isinstance(offer, Entry) or offer.group != CODECS:
        return True
    try:
        found = offer.load()
    except (Exception, SystemExit):
        return True
    return isinstance(found, type) and issubclass(found, CompressorConfig)


def names_offered(stage: str) -> list[str]:
    """Names that installed packages offer at a stage, as far as their group says it."""
    groups = [group for group, stages in STAGES.items() if stage in stages]
    return [entry.name for entry in entries(*groups)]


def loaded(offer: Offer, field: str) -> type[CompressorConfig]:
    """The schema that an offer leads to, checked.

    field: the setting that chose it. Raises ConfigError, which names whose it is, for what can't be
    loaded and for what is no schema of a method.
    """

    def refused(allowed: str) -> ConfigError:
        return ConfigError([fault(field, offer.name, f"{allowed}; this is of {offer.owner}")])

    try:
        found = offer.load()
    # Other people's code, with exceptions of every type.
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {error}"
        # As a whole in this line: its cause would be told a second time.
        raise refused(f"a method that can be loaded ({why})") from None
    if isinstance(found, ModuleType) and isinstance(offer, OwnFile):
        mine = {option_name(option): option for option in options_in([found], CompressorConfig)}
        if offer.name not in mine:
            what = f"a file with a subclass of CompressorConfig whose name is {offer.name!r}"
            raise refused(f"{what} (it has {', '.join(mine) or 'none at all'})")
        found = mine[offer.name]
    if not isinstance(found, type) or not issubclass(found, CompressorConfig):
        if callable(getattr(found, "encode", None)) and callable(getattr(found, "decode", None)):
            raise refused(
                "a method with a schema (this is a codec without one: compressor=external "
                f"compressor.entry={offer.name})"
            )
        raise refused(f"a subclass of CompressorConfig, its schema (it is {found!r:.80})")
    why = _schema_fault(found, offer)
    if why:
        raise refused(f"a schema that can be used ({why})")
    return found


def _schema_fault(schema: type[CompressorConfig], offer: Offer) -> str:
    """What is wrong with a schema, "" if nothing is."""
    from omegaconf import OmegaConf

    if "__dataclass_fields__" not in vars(schema):
        return f"{schema.__name__} lacks @dataclass"
    named = [item.default for item in fields(schema) if item.name == "name"]
    if named != [offer.name]:
        shown = named[0] if isinstance(named[0], str) else "without a default"
        return f"its field name is {shown}, and the option is {offer.name}"
    stages = STAGES[offer.group] if isinstance(offer, Entry) else ANY_STAGE
    if schema.stage not in stages:
        known = schema.stage if schema.stage in get_args(StageName) else repr(schema.stage)
        where = f" of the group {offer.group}" if isinstance(offer, Entry) else ""
        return f"its stage is {known}, those{where} are {', '.join(stages)}"
    if schema.build is CompressorConfig.build:
        return f"{schema.__name__} has no build"
    try:
        schema(name=offer.name)
        OmegaConf.structured(schema)
    # OmegaConf's own errors, and whatever a `__post_init__` raises.
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""
