"""What the arms of a comparison reach, as tables: one for each number of needles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from freqexp.comparing.deltas import shared_pairs
from freqexp.comparing.run import Run
from freqexp.comparing.run_files import load_run
from freqexp.config.identity import run_id
from freqexp.config.run import RunConfig
from freqexp.files import read_json
from freqexp.published.layout import Table, aligned, markdown_lines
from freqexp.results import table
from freqexp.results.intervals import changes, interval, scores
from freqexp.results.record import Record, mean
from freqexp.running.execute import run_folder
from freqexp.tokens.trained.weights import FILE
from freqexp.train.adapt.output import PROVENANCE

HEADS = (
    *("arm", "vision tokens", "bytes a page + codebook", "as it was [95 %]", "adapted [95 %]"),
    *("same reader, all tokens [95 %]", "held out", "lead of the best learned [95 %]"),
    *("exact [95 %]", "its lead in exact answers [95 %]"),
)
Value = Callable[[Record], float]
HALF = 0.5


@dataclass(frozen=True)
class Arm:
    """The runs of one arm over the same samples; None where there is no record yet.

    learned: whether its compressor has parameters, which were trained, too. held: share of held-out
    answers that it had right to the letter when its training ended. before: the reader as it was.
    whole: the adapted reader, without the compressor.
    """

    name: str
    learned: bool
    held: float | None
    before: Run | None
    adapted: Run | None
    whole: Run | None

    @property
    def kept(self) -> float | None:
        """The share of the vision tokens that enters the decoder."""
        entering, all_of_them = self.mean("vision_tokens_out"), self.mean("vision_tokens_in")
        return entering / all_of_them if entering is not None and all_of_them else None

    def mean(self, name: str) -> float | None:
        """A field's mean over the records of the adapted reader, else of the reader as it was."""
        return mean(getattr(record, name) for record in _scored(self.adapted or self.before))


def read_arm(
    folder: Path, before: RunConfig, adapted: RunConfig | None, whole: RunConfig | None
) -> Arm:
    """The arm in this folder with its runs. Raises UserError, see `run_id`."""
    held = (read_json(folder / PROVENANCE) or {}).get("held_out", {})
    right = held.get("held_exact", held.get("whole_exact")) if isinstance(held, Mapping) else None
    return Arm(
        folder.name,
        _has_parameters(folder / FILE),
        right,
        *(None if cfg is None else _run(cfg) for cfg in (before, adapted, whole)),
    )


def _has_parameters(file: Path) -> bool:
    """Whether a compressor's file holds any: averaging without a learned part has none."""
    if not file.is_file():
        return False
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        return bool(list(tensors.keys()))


def _run(cfg: RunConfig) -> Run | None:
    """A run that has all samples that are asked for: means over fewer are not to stand beside it."""
    run = load_run(run_folder(cfg, run_id(cfg)), cfg.samples)
    return run if run is not None and run.scored and len(run.records) == cfg.samples else None


def best_learned(arms: Sequence[Arm]) -> Arm | None:
    """Of the learned arms that keep at most half of the tokens the one with most held-out answers
    right: not chosen by the samples it is then compared on.
    """
    able = [
        arm
        for arm in arms
        if arm.learned and arm.adapted is not None and arm.held is not None and arm.kept is not None
    ]
    halved = [arm for arm in able if (arm.kept or 1.0) <= HALF]
    return max(halved, key=lambda arm: arm.held or 0.0, default=None)


def score(record: Record) -> float:
    """The score of a record that has one."""
    return record.score or 0.0


def exact(record: Record) -> float:
    """1 for an answer that is right to the letter, else 0: the score is a similarity, and hardly
    sees a few wrong characters.
    """
    return float(record.score == 1)


def arms_table(title: str, arms: Sequence[Arm]) -> Table:
    """A row an arm, in their order."""
    best = best_learned(arms)
    return Table(title, HEADS, [_row(arm, best) for arm in arms])


def to_beat(arms: Sequence[Arm]) -> str | None:
    """What a method at half of the tokens has to beat, in a sentence; None without a control."""
    controls = [
        arm
        for arm in arms
        if not arm.learned and arm.adapted is not None and (arm.kept or 1.0) <= HALF
    ]
    best = max(controls, key=lambda arm: arm.mean("score") or 0.0, default=None)
    if best is None:
        return None
    reached = table.number(best.mean("score"), 3)
    said = f"To beat at half of the tokens: {best.name}, trained alike, with {reached}."
    if best.before is None or len(best.before.scored) < 2:
        return said
    low, high = _lead(best, best.before)[1:]
    return (
        f"{said} Its own difference to itself untrained is known to ±{(high - low) / 2:.3f}, so "
        "smaller leads do not show."
    )


def origin(folders: Sequence[Path]) -> str:
    """With which commit and versions these arms were trained, a sentence; "" for none."""
    found = set()
    for folder in folders:
        said = read_json(folder / PROVENANCE)
        if said is not None:
            versions = said.get("versions", {})
            names = " ".join(f"{name} {versions.get(name)}" for name in ("torch", "transformers"))
            changed = " and changes" * bool(said.get("dirty"))
            found.add(f"commit {str(said.get('commit'))[:7]}{changed}, {names}")
    return f"Trained at {'; '.join(sorted(found))}." if found else ""


def show(tables: Sequence[tuple[Table, str | None]]) -> str:
    """For a terminal."""
    lines: list[str] = []
    for each, said in tables:
        lines += [each.title, *aligned(each), *filter(None, [said]), ""]
    return "\n".join(lines)


def markdown(tables: Sequence[tuple[Table, str | None]]) -> str:
    """For a page of the documentation."""
    lines: list[str] = []
    for each, said in tables:
        lines += [f"{each.title}:", "", *markdown_lines(each), ""]
        lines += [said, ""] if said else []
    return "\n".join(lines)


def _row(arm: Arm, best: Arm | None) -> list[str]:
    tokens = table.change(arm.mean("vision_tokens_in"), arm.mean("vision_tokens_out"), table.count)
    leads = ["-", "-"]
    if arm is best:
        leads = ["the best learned"] * 2
    elif best is not None and best.adapted is not None and arm.adapted is not None:
        leads = [
            table.interval(*_lead(best, arm.adapted, value), sign=True) for value in (score, exact)
        ]
    return [
        arm.name,
        tokens,
        _bytes(arm),
        *(_accuracy(run) for run in (arm.before, arm.adapted, arm.whole)),
        table.number(arm.held, 3),
        leads[0],
        _accuracy(arm.adapted, exact),
        leads[1],
    ]


def _bytes(arm: Arm) -> str:
    """Of a page's tokens, and the share of a codebook that is counted beside them."""
    stored, pages = arm.mean("stored_bytes"), arm.mean("pages")
    if stored is None or not pages:
        return table.MISSING
    shared = arm.mean("codebook_bytes") or 0.0
    own = f"{(stored - shared) / pages:,.0f}"
    return f"{own} + {shared / pages:,.0f}" if shared else own


def _lead(ours: Arm, other: Run, value: Value = score) -> tuple[float, float, float]:
    """The paired difference of the means with its interval."""
    assert ours.adapted is not None
    pairs, _ = shared_pairs(ours.adapted, other)
    differences = changes([value(a) for a, _ in pairs], [value(b) for _, b in pairs])
    return mean(differences.values) or 0.0, *interval(differences)


def _accuracy(run: Run | None, value: Value = score) -> str:
    found = [value(record) for record in _scored(run)]
    if len(found) < 2:
        return table.number(mean(found), 3)
    return table.interval(mean(found), *interval(scores(found)))


def _scored(run: Run | None) -> list[Record]:
    return [] if run is None else [r for r in run.records.values() if r.score is not None]
