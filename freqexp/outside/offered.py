"""Things that installed packages offer by name, other than methods: benchmarks and readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freqexp.errors import UserError, fault
from freqexp.outside.entries import BENCHMARKS, READERS, Entry, entries
from freqexp.outside.source import Source, module_source


@dataclass(frozen=True)
class Offered:
    """A group of entry points. field: the key that names one of them. noun: what one is called."""

    group: str
    field: str
    noun: str

    def names(self) -> list[str]:
        """All names, once each."""
        return list(dict.fromkeys(entry.name for entry in entries(self.group)))

    def faults(self, name: str, field: str, otherwise: str) -> list[str]:
        """One line for a name that no package offers, or several; nothing is loaded.

        otherwise: what is allowed beside a name, as in "null, or ".
        """
        found = self._offers(name)
        if len(found) == 1:
            return []
        known = ", ".join(self.names()) or "none is installed"
        allowed = f"{otherwise}a {self.noun} of an installed package ({known})"
        if found:
            owners = ", ".join(entry.owner for entry in found)
            allowed = f"a name of one {self.noun}; several have it: {owners}"
        return [fault(field, name, allowed)]

    def load(self, name: str) -> tuple[Entry, object]:
        """What the name leads to. Raises UserError, which names the package, for one that can't be
        loaded.
        """
        faults = self.faults(name, self.field, "")
        if faults:
            raise UserError(faults[0])
        (entry,) = self._offers(name)
        try:
            return entry, entry.load()
        except (Exception, SystemExit) as error:
            raise self.refused(entry, f"a {self.noun} that can be loaded", error) from error

    def source(self, name: str) -> Source:
        """Where it is written: the package that its entry leads into. Raises UserError, see `load`,
        and for one without a file.
        """
        entry, _ = self.load(name)
        found = module_source(entry.value.partition(":")[0])
        if found is None:
            raise self.refused(entry, "one in a package of its own, with a file")
        return found

    def refused(self, entry: Entry, allowed: str, reason: BaseException | None = None) -> UserError:
        """The error of one that can't be used."""
        why = "" if reason is None else f" ({type(reason).__name__}: {reason})"
        return UserError(fault(self.field, entry.name, f"{allowed}{why}; this is of {entry.owner}"))

    def _offers(self, name: str) -> Sequence[Entry]:
        return [entry for entry in entries(self.group) if entry.name == name]


BENCHMARK = Offered(BENCHMARKS, "needles.source", "benchmark")
READER = Offered(READERS, "model.source", "reader")
