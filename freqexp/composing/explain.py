"""What is wrong with overrides, in the words of `fault`: field, value, what is allowed.

Hydra stops at the first fault and words it for its own developers. Here every override is tried by
itself on top of those that work, so that all faults of all points of a sweep come out at once.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from omegaconf import BooleanNode, DictConfig, EnumNode, FloatNode, IntegerNode, ListConfig
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from freqexp.composing.command import Command
from freqexp.composing.habits import composed_faults
from freqexp.composing.local import FILE, SETTINGS
from freqexp.composing.overrides import (
    COMPOSE_ERRORS,
    PLACE,
    PRIMARY,
    compose_raw,
    normalize,
    text_keys,
    to_run,
)
from freqexp.config.check import check, unknown_key
from freqexp.errors import fault
from freqexp.schemas.compressor import names_at

SHOWN_POINTS = 3
_INTERNAL = re.compile(r"\s*(object|reference)_type=")
Faults = tuple[Sequence[str], list[str]]


def command_line_faults(command: Command, error: Exception) -> list[str]:
    """Every fault of a command line Hydra has refused with `error`, inside its `ready`."""
    points, faults = _expand(command)
    found = merge_faults([(point, point_faults(point, command.config_name)) for point in points])
    return faults + found or [one_line(error)]


def merge_faults(points: Sequence[Faults]) -> list[str]:
    """Faults of several points, each once, with the points that have it unless all do."""
    where: dict[str, list[str]] = {}
    for overrides, faults in points:
        for line in faults:
            where.setdefault(line, []).append(label(overrides))
    lines = []
    for line, labels in where.items():
        if len(labels) < len(points):
            shown = "; ".join(labels[:SHOWN_POINTS])
            more = f"; {len(labels) - SHOWN_POINTS} more" if len(labels) > SHOWN_POINTS else ""
            line = f"{line} (in {len(labels)} of {len(points)} points: {shown}{more})"
        lines.append(line)
    return lines


def label(overrides: Sequence[str]) -> str:
    """Overrides as they are typed."""
    shown = (text for text in overrides if not text.startswith("hydra."))
    return " ".join(shown).replace("'", "").replace(PLACE, "") or "the defaults"


def point_faults(overrides: Sequence[str], config_name: str = PRIMARY) -> list[str]:
    """Every fault of one point, inside `hydra_ready`."""
    overrides = normalize(overrides)
    faults: list[str] = []
    kept: list[str] = []
    base: DictConfig | None = None
    try:
        base = compose_raw(kept, config_name)
    except COMPOSE_ERRORS as error:
        return [one_line(error)]
    # First where more YAML is, then what chooses options: that decides which keys exist. Options at
    # a place inside another option (group@place) come after that.
    settings = [text for text in overrides if text.startswith("hydra.")]
    choices = [text for text in overrides if _options(_key(text), settings)]
    choices.sort(key=lambda text: text.startswith(PLACE))
    values = [text for text in overrides if text not in {*settings, *choices}]
    for override in (*settings, *choices, *values):
        try:
            base = compose_raw([*kept, override], config_name)
        except COMPOSE_ERRORS as error:
            faults.append(
                _override_fault(override, _options(_key(override), settings), base, error)
            )
        else:
            kept.append(override)
    try:
        return faults + composed_faults(base, base.hydra) + check(to_run(base))
    except COMPOSE_ERRORS as error:
        return [*faults, one_line(error)]


def one_line(error: BaseException) -> str:
    """A Hydra or OmegaConf error and its cause, without what only helps their developers."""
    if isinstance(error, MissingMandatoryValue):
        return fault(str(error.full_key), None, "a value, this one is missing")
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error.msg).splitlines()[0]}"
    text = str(error).replace("'" + "/".join(SETTINGS) + "'", FILE)
    lines = [*text.splitlines(), *(str(error.__cause__ or "").splitlines())]
    useful = (line.strip() for line in lines if not _INTERNAL.match(line))
    return "; ".join(dict.fromkeys(line for line in useful if line))


def _expand(command: Command) -> tuple[list[list[str]], list[str]]:
    """The points of a command line, and the faults of overrides that can't be read at all."""
    loader = GlobalHydra.instance().config_loader()
    parser = OverridesParser.create()
    parsed: list[Override] = []
    faults = []
    for text in command.overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            faults.append(_unreadable(text, error))
            continue
        override.config_loader = loader  # which only a whole list of them is given by the parser
        if command.flags.multirun and _matches_nothing(override):
            key, options = override.key_or_group, _options(override.key_or_group, ())
            allowed = f"a pattern of one of {', '.join(options)}" if options else "values"
            faults.append(fault(key, override.get_value_string(), allowed))
        else:
            parsed.append(override)
    if not command.flags.multirun:
        return [[str(override.input_line) for override in parsed]], faults
    try:
        return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0], faults
    except HydraException as error:
        return [], [*faults, one_line(error)]


def _matches_nothing(override: Override) -> bool:
    is_glob = override.value_type is ValueType.GLOB_CHOICE_SWEEP
    return is_glob and not list(override.sweep_iterator())


def _unreadable(text: str, error: Exception) -> str:
    reason = str(error).splitlines()[0]
    return fault("override", text, f"key=value, text with special characters in quotes ({reason})")


def _key(text: str) -> str:
    return text.split("=")[0].split("@")[0].lstrip("+~")


def _options(group: str, settings: Sequence[str]) -> list[str]:
    """Names of the options of `group`, none when it isn't a group."""
    loader = GlobalHydra.instance().config_loader()
    return loader.get_group_options(group, config_name=PRIMARY, overrides=list(settings))


def _override_fault(text: str, options: list[str], base: DictConfig, error: Exception) -> str:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as unreadable:
        return _unreadable(text, unreadable)
    key = override.key_or_group
    if override.is_delete():
        return one_line(error)
    if override.is_sweep_override():
        return f"{label([text])}: several values need -m (--multirun){_in_quotes(text)}"
    value = override.value()
    if text.startswith(PLACE):
        key = override.package or key
        if base.compressor.name != "combined":
            return fault(key, value, "only with compressor=combined")
        options = names_at(key.rpartition(".")[2])
    if options and value not in options:
        close = difflib.get_close_matches(str(value), options, n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        return fault(key, value, ", ".join(sorted(options)) + meant)
    if options or key.startswith("hydra."):
        return f"{text}: {one_line(error)}"
    return _value_fault(key, value, base) or f"{label([text])}: {one_line(error)}"


def _value_fault(key: str, value: Any, base: DictConfig) -> str | None:
    """The fault of a value for `key` of `base`; None when the schema does not tell it."""
    parent, path = base, key.split(".")
    for depth, part in enumerate(path):
        known = [str(name) for name in parent if name != "hydra"]
        if part not in known:
            prefix = "".join(f"{name}." for name in path[:depth])
            return unknown_key(prefix, part, known, _ending_in(base, key))
        node = parent._get_node(part)
        if depth == len(path) - 1:
            return fault(key, value, _allowed(node))
        if not isinstance(node, DictConfig):
            return fault(key, value, f"nothing, {'.'.join(path[: depth + 1])} has no keys below it")
        parent = node
    return None


def _in_quotes(text: str) -> str:
    """How one value with commas in it is typed, for keys of text."""
    key, _, value = label([text]).partition("=")
    if key not in text_keys() or value[:1] == '"':
        return ""
    quoted = shlex.quote(f'{key}="{value}"')
    return f"; one value with commas: {quoted}"


def _ending_in(base: DictConfig, key: str) -> list[str]:
    """Keys of sections that end as this one does, or begin with a section's own name."""
    found = []
    sections = [("", base)]
    for prefix, section in sections:
        for name in map(str, section):
            node = section._get_node(name)
            if isinstance(node, DictConfig) and not node._is_none() and name != "hydra":
                sections.append((f"{prefix}{name}.", node))
                if prefix and key.startswith(f"{name}."):
                    found.append(f"{prefix}{key}")
            elif f"{prefix}{name}".endswith(f".{key}"):
                found.append(f"{prefix}{name}")
    return found


def _allowed(node: object) -> str:
    if isinstance(node, EnumNode):
        return ", ".join(node.enum_type.__members__)
    if isinstance(node, BooleanNode):
        return "true, false"
    if isinstance(node, IntegerNode):
        return "an integer"
    if isinstance(node, FloatNode):
        return "a number"
    if isinstance(node, DictConfig):
        return f"a value for one of its keys: {', '.join(str(name) for name in node)}"
    if isinstance(node, ListConfig):
        return "a list, as in [a,b]"
    return "text"
