"""Range checks of a whole run: every fault at once, before anything is computed."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from freqexp.config.budget import acting_budget
from freqexp.config.model_check import input_faults, model_faults
from freqexp.config.run import RunConfig, Tracking
from freqexp.errors import fault
from freqexp.schemas.compressor import adaptive_options
from freqexp.schemas.method import CompressorConfig
from freqexp.schemas.render import RenderConfig
from freqexp.schemas.section import Section, option_name

SWEEP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NOT_IN_PROJECT_NAMES = frozenset("/\\#?%:")


def check(cfg: RunConfig) -> list[str]:
    """Every fault of a composed run, worded by `fault`; empty when it can be computed."""
    faults: list[str] = []
    if not 0 < cfg.keep_ratio <= 1:
        faults.append(fault("keep_ratio", cfg.keep_ratio, "a number above 0 and at most 1"))
    faults += _budget_faults(cfg)
    if not 1 <= cfg.samples <= 10_000_000:
        faults.append(fault("samples", cfg.samples, "an integer from 1 to 10000000"))
    if not 0 <= cfg.seed < 2**63:
        faults.append(fault("seed", cfg.seed, "an integer from 0 to 2**63 - 1"))
    if not 0 <= cfg.encodings_cache_gb < float("inf"):
        allowed = "gigabytes, 0 (no cache on disk) or more"
        faults.append(fault("encodings_cache_gb", cfg.encodings_cache_gb, allowed))
    for field in dataclasses.fields(cfg):
        section = getattr(cfg, field.name)
        if isinstance(section, Section):
            faults += _section_faults(section, field.name, cfg)
    faults += unknown_keys(cfg) + input_faults(cfg) + model_faults(cfg)
    counted = acting_budget(cfg)
    if 0 < cfg.keep_ratio <= 1 and counted.keep_tokens is None and counted.keep_like is None:
        for part in cfg.compressor.parts(cfg.keep_ratio):
            faults += part.config.check_keep_ratio(part.keep_ratio)
    return faults + _tracking_faults(cfg) + output_faults(cfg.output_dir)


def _section_faults(section: Section, name: str, cfg: RunConfig) -> list[str]:
    """What a section finds wrong; a method from outside whose `check` fails is named with whose it
    is.
    """
    try:
        return section.check(name)
    except Exception as error:
        from freqexp.config.identity import outside_sources

        others = outside_sources(cfg)
        if name != "compressor" or not others:
            raise
        why = f"{type(error).__name__}: {error}"
        whose = ", ".join(source.owner for source in others.values())
        return [fault(name, ", ".join(others), f"a method whose check works ({why}); of {whose}")]


def _budget_faults(cfg: RunConfig) -> list[str]:
    faults = []
    if cfg.keep_tokens is not None and cfg.keep_tokens < 1:
        faults.append(fault("keep_tokens", cfg.keep_tokens, "an integer of 1 or more, or null"))
    if cfg.keep_like is not None and cfg.keep_like not in adaptive_options():
        names = ", ".join(adaptive_options())
        allowed = f"a method whose count follows from the page ({names}), or null"
        faults.append(fault("keep_like", cfg.keep_like, allowed))
    if cfg.keep_like is not None and cfg.keep_tokens is not None:
        allowed = f"null beside keep_tokens={cfg.keep_tokens}: one of them says how many stay"
        faults.append(fault("keep_like", cfg.keep_like, allowed))
    return faults


def unknown_keys(section: object, prefix: str = "") -> list[str]:
    """Keys forced in with `+key=value`, and names that are not their schema's."""
    faults = []
    known = {field.name for field in dataclasses.fields(section)}  # type: ignore[arg-type]
    for name, value in vars(section).items():
        if name not in known:
            faults.append(unknown_key(prefix, name, sorted(known)))
        elif dataclasses.is_dataclass(value):
            faults += unknown_keys(value, f"{prefix}{name}.")
    if isinstance(section, CompressorConfig | RenderConfig):
        expected = option_name(type(section))
        if section.name != expected:
            faults.append(fault(f"{prefix}name", section.name, f"{expected} (the option chosen)"))
    return faults


def unknown_key(prefix: str, key: str, known: Sequence[str], others: Sequence[str] = ()) -> str:
    """The fault of a key that `prefix` ("" or "group.") does not have. others: keys elsewhere that
    may have been meant.
    """
    close = [f"{prefix}{name}" for name in difflib.get_close_matches(key, known, n=1)]
    hint = f", did you mean {' or '.join(others or close)}" if others or close else ""
    return f"{prefix}{key}: no such key{hint}; known: {', '.join(known)}"


def _tracking_faults(cfg: RunConfig) -> list[str]:
    faults = []
    if cfg.sweep_name is not None and not SWEEP_NAME.fullmatch(cfg.sweep_name):
        allowed = "up to 100 letters, digits, '.', '_' and '-', a letter or digit first"
        faults.append(fault("sweep_name", cfg.sweep_name, allowed))
    for tag in cfg.tags:
        if not 0 < len(tag) <= 64:
            faults.append(fault("tags", tag, "texts of 1 to 64 characters"))
    name = cfg.wandb_project
    usable = 0 < len(name) <= 128 and NOT_IN_PROJECT_NAMES.isdisjoint(name)
    if cfg.tracking is not Tracking.off and not usable:
        allowed = "1 to 128 characters, none of " + " ".join(sorted(NOT_IN_PROJECT_NAMES))
        faults.append(fault("wandb_project", name, allowed))
    return faults


def output_faults(output_dir: str) -> list[str]:
    """One fault when `output_dir` is not, and can't become, a folder that takes files.

    Tried by making a folder, because permission bits say little on network and read-only file
    systems; the nearest existing parent stands in for a folder that does not exist yet.
    """
    allowed = "a folder that can be written"
    if not output_dir:
        return [fault("output_dir", output_dir, allowed)]
    folder = Path(os.path.abspath(os.path.expanduser(output_dir)))
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".freqexp-"):
            return []
    except OSError as error:
        reason = f"{folder}: {error.strerror or type(error).__name__}"
        return [fault("output_dir", output_dir, f"{allowed} ({reason})")]
