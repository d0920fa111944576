"""What every part of a configuration shares."""

from __future__ import annotations

from dataclasses import fields


class Section:
    """A part of the configuration."""

    def check(self, prefix: str) -> list[str]:
        """Faults of these values, each field named under `prefix`; none by default."""
        return []


def option_name(option: type[Section]) -> str:
    """What is typed to choose an option: the default of its field `name`."""
    return next(str(field.default) for field in fields(option) if field.name == "name")  # type: ignore[arg-type]
