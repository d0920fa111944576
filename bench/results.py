"""The tables of the documentation, each computed by the command that stands above it.

    python -m bench.results [--output-dir outputs] [--only TEXT] [FILE ...]

In a Markdown file a table stands between `<!-- table -->` and `<!-- /table -->`, right below a code
block with one `python -m freqexp.run ...` or `python -m freqexp.train arms ...` command. Every
command is run (what is in the output folder is not computed again) and its table written anew; with
--only those that have TEXT in them.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from freqexp.composing.compose import collect
from freqexp.errors import DONE
from freqexp.files import read_json
from freqexp.paths import conf_dir
from freqexp.results.draws import pooled
from freqexp.results.provenance import PROVENANCE
from freqexp.results.summary import Summary
from freqexp.results.table import (
    COLUMNS,
    MISSING,
    WHEN_DIFFERENT,
    WHEN_FILLED,
    Cell,
    column,
    size,
)
from freqexp.running.sweep import run_points
from freqexp.train.adapt import arms

ROOT = Path(__file__).resolve().parents[1]
FILES = ("docs/results.md", "docs/tiny_reader.md", "docs/adapt.md")
TABLE = re.compile(
    r"```sh\n(?P<command>python -m freqexp\.(?:run|train arms)(?: [^\n]+)?)\n```\n\n"
    r"<!-- table -->\n(?P<table>.*?)<!-- /table -->",
    re.DOTALL,
)
OPENING = re.compile(r"^<!-- table -->$", re.MULTILINE)
# Milliseconds are those of one machine at one moment; the command prints them.
NOT_IN_DOCS = ("ms",)
# What stored bytes are to be compared with.
LINES: tuple[tuple[str, Cell], ...] = (
    ("pages without loss", lambda s: size(s.lossless_bytes)),
    ("their text by brotli", lambda s: size(s.text_brotli_bytes)),
)


def main() -> None:
    """Rewrite the tables of the given files, or of all files that hold some."""
    parser = argparse.ArgumentParser(description="Compute the tables of the documentation.")
    parser.add_argument("--output-dir", default="outputs", help="where runs are, and are written")
    parser.add_argument("--only", default="", help="only commands with this text in them")
    parser.add_argument("files", nargs="*", default=[str(ROOT / name) for name in FILES])
    arguments = parser.parse_args()
    # Nothing is written before all is computed: runs record whether the checkout was changed.
    computed = {
        path: with_tables(path.read_text(encoding="utf-8"), arguments.output_dir, arguments.only)
        for path in map(Path, arguments.files)
    }
    for path, text in computed.items():
        path.write_text(text, encoding="utf-8")


def with_tables(text: str, output_dir: str, only: str = "") -> str:
    """`text` with every table computed whose command has `only` in it. Raises ValueError for a
    table without its command.
    """
    pieces, end = [], 0
    found = list(TABLE.finditer(text))
    if len(found) != len(OPENING.findall(text)):
        raise ValueError("a table has no command of one line right above it, or does not end")
    for match in found:
        if only not in match["command"]:
            continue
        table = written(match["command"], output_dir)
        pieces += [text[end : match.start("table")], table, "\n"]
        end = match.end("table")
    return "".join([*pieces, text[end:]])


def written(command: str, output_dir: str) -> str:
    """The table that a command's runs make, in Markdown."""
    words = shlex.split(command)
    if words[2] == "freqexp.run":
        return markdown_table(summaries(command, output_dir), Path(output_dir))
    file = conf_dir() / "train" / "arms.yaml"
    chosen = [*words[4:], f"run=[output_dir={output_dir},tracking=off]"]
    if arms.main(file, chosen) != DONE:
        raise ValueError(f"did not end: {command}")
    return (Path(arms.asked(file, chosen).out) / arms.TABLE).read_text(encoding="utf-8")


def summaries(command: str, output_dir: str) -> list[Summary]:
    """The summaries of `python -m freqexp.run ...`, computed where they are missing."""
    arguments = shlex.split(command)[3:]
    points = collect([*arguments, f"output_dir={output_dir}", "tracking=off"])
    return run_points([point.config for point in points], lambda cfg: ())


def markdown_table(rows: Sequence[Summary], output_dir: Path) -> str:
    """What all rows share in a line, then one row a run; draws of random pruning are one."""
    drawn = pooled(rows)
    shared, columns = [], []
    after_png = [name for name, _ in COLUMNS].index("PNG") + 1
    for name, cell in (*COLUMNS[:after_png], *LINES, *COLUMNS[after_png:]):
        values = column(name, cell, drawn)
        if name in (*WHEN_DIFFERENT, *dict(LINES)) and len(set(values)) == 1:
            shared.append(f"{name}: {values[0]}")
        elif name in NOT_IN_DOCS:
            continue
        elif name not in WHEN_FILLED or any(value.strip(MISSING) for value in values):
            columns.append([name, *values])
    head, *body = zip(*columns, strict=True)
    lines = [head, ["---"] * len(head), *body]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{', '.join(shared)}; {origin(rows, output_dir)}.\n\n{table}\n"


def origin(rows: Sequence[Summary], output_dir: Path) -> str:
    """Commit and versions the runs were computed with, from their provenance."""
    found = set()
    for summary in rows:
        provenance = read_json(output_dir / "runs" / summary.run_id / PROVENANCE) or {}
        versions = provenance.get("versions", {})
        commit = str(provenance.get("commit"))[:7] + (" and changes" * bool(provenance["dirty"]))
        libraries = " ".join(f"{name} {versions.get(name)}" for name in ("torch", "transformers"))
        found.add(f"commit {commit}, {libraries}, {provenance.get('host_kind')}")
    return "; ".join(sorted(found))


if __name__ == "__main__":
    main()
