"""What every part of a configuration shares, and how its options are found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from types import ModuleType
from typing import TypeVar


class Section:
    """A part of the configuration."""

    def check(self, prefix: str) -> list[str]:
        """Faults of these values, each field named under `prefix`; none by default."""
        return []


Option = TypeVar("Option", bound=Section)


def option_name(option: type[Section]) -> str:
    """What is typed to choose an option: the default of its field `name`."""
    return next(str(field.default) for field in fields(option) if field.name == "name")  # type: ignore[arg-type]


def options_in(modules: Iterable[ModuleType], base: type[Option]) -> tuple[type[Option], ...]:
    """The options that modules define, in their order: subclasses of `base` whose field `name` has
    a default of their own. What only shares settings has none.
    """
    return tuple(
        item
        for module in modules
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, base)
        and item.__module__ == module.__name__
        and isinstance(vars(item).get("name"), str)
    )
