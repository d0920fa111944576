"""Schema of the group `needles`: which samples are asked."""

from __future__ import annotations

from dataclasses import dataclass

from freqexp.benchmarks.short import NEAR
from freqexp.errors import UserError, fault
from freqexp.schemas import ranges
from freqexp.schemas.choices import Form, Text
from freqexp.schemas.section import Section


@dataclass
class NeedlesConfig(Section):
    """Which MRCR samples are asked.

    count: how many turns answer the same request.
    path: an openai/mrcr parquet, JSON or JSONL file, or a folder of them; None: generated samples.
    source: benchmark of an installed package that gives the samples, see
        `freqexp.benchmarks.outside`; None: this one's. What the other keys mean is its matter then.
    bucket: length bucket such as "4096-8192"; None: every length.
    form, turns, target_chars: form and length of generated samples; None: the form's own length.
    near: share, in [0, 1], of the requests beside the needles that share their kind or topic.
    text: what replies are made of; both only of generated samples.
    """

    count: int
    path: str | None = None
    source: str | None = None
    bucket: str | None = None
    form: Form = Form.short
    turns: int | None = None
    target_chars: int | None = None
    near: float = NEAR
    text: Text = Text.english

    def check(self, prefix: str) -> list[str]:
        if self.source is not None:
            return self._source_faults(prefix, self.source)
        faults = []
        if self.count not in (2, 4, 8):
            faults.append(fault(f"{prefix}.count", self.count, "2, 4, 8"))
        faults += ranges.integers(self, prefix, ("turns",), max(self.count, 1), 100_000)
        faults += ranges.integers(self, prefix, ("target_chars",), 1, 100_000_000)
        if not 0 <= self.near <= 1:
            faults.append(fault(f"{prefix}.near", self.near, "a number from 0 to 1"))
        if self.path is None:
            return faults + self._generated_faults(prefix)
        return faults + self._file_faults(prefix, self.path)

    def _source_faults(self, prefix: str, source: str) -> list[str]:
        from freqexp.benchmarks.outside import source_faults
        from freqexp.benchmarks.rowfile import data_files

        faults = source_faults(source, f"{prefix}.source")
        if self.path is None:
            return faults
        try:
            files = data_files(self.path)
        except UserError as error:
            return [*faults, str(error)]
        return faults + [line for f in files for line in ranges.readable(f, f"{prefix}.path")]

    def _generated_faults(self, prefix: str) -> list[str]:
        faults = []
        if self.bucket is not None:
            allowed = f"null without {prefix}.path ({prefix}.target_chars sets a length)"
            faults.append(fault(f"{prefix}.bucket", self.bucket, allowed))
        if self.target_chars is not None and self.form is Form.short:
            allowed = f"null with {prefix}.form=short"
            faults.append(fault(f"{prefix}.target_chars", self.target_chars, allowed))
        return faults

    def _file_faults(self, prefix: str, path: str) -> list[str]:
        from freqexp.benchmarks.lengths import BUCKETS
        from freqexp.benchmarks.mrcr_rows import matching
        from freqexp.benchmarks.rowfile import data_files

        faults = []
        for name in ("turns", "target_chars"):
            if getattr(self, name) is not None:
                allowed = f"null with {prefix}.path, only generated samples have a wanted length"
                faults.append(fault(f"{prefix}.{name}", getattr(self, name), allowed))
        for name, value, usual in (
            ("near", self.near, NEAR),
            ("text", self.text.name, Text.english.name),
        ):
            if value != usual:
                allowed = f"{usual} with {prefix}.path, an option of generated samples"
                faults.append(fault(f"{prefix}.{name}", value, allowed))
        if self.bucket not in (None, *BUCKETS):
            faults.append(fault(f"{prefix}.bucket", self.bucket, ", ".join(BUCKETS)))
        try:
            files = data_files(path, self.count)
            unreadable = [
                line for file in files for line in ranges.readable(file, f"{prefix}.path")
            ]
            if not unreadable:
                matching(files, self.count)
        except UserError as error:
            line = str(error)
            return [*faults, line if line.startswith(prefix) else f"{prefix}.path: {line}"]
        return faults + unreadable
