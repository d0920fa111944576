"""Documents of many pages: what a prior or a codebook costs when it is counted once, as a whole."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.codec_pages import text_pages
from bench.codec_quality import counted_bytes
from bench.codec_settings import built, not_built, shown
from freqexp.coding.share import PAGES
from freqexp.files import read_json, write_json

FILE = "documents.json"
LENGTHS = (1, 2, 10, 100)
CASES = (
    ("symbols", "compressor.levels=2"),
    ("symbols", "compressor.levels=2 compressor.prior=null"),
    ("symbols", "compressor.levels=256"),
    ("symbols", "compressor.levels=256 compressor.prior=null"),
    ("block_vq", "keep_ratio=0.01"),
    ("strips", "compressor.levels=2"),
    ("strips", "compressor.levels=256"),
    ("jb2", ""),
)


@dataclass(frozen=True)
class Document:
    """sizes: bytes of the bitstream of each page. side: of the file that all need, to 100 bytes."""

    codec: str
    setting: str
    sizes: list[int]
    side: int

    def bytes_of(self, pages: int) -> float:
        """Bytes of the first `pages` pages and the file; the mean page stands for pages that were
        not measured.
        """
        found = sum(self.sizes[:pages])
        return self.side + found + max(0, pages - len(self.sizes)) * statistics.fmean(self.sizes)


def measured_documents(folder: Path, pages: int, measured: str) -> list[Document]:
    """All cases on the first pages of so many conversations at 14 px; those in the folder that were
    measured in the same way are taken over.
    """
    path = folder / FILE
    origin = {"measured": measured, "pages": pages}
    kept = read_json(path) or {}
    if kept.get("origin") != origin:
        kept = {"origin": origin, "documents": []}
    found = [Document(**document) for document in kept["documents"]]
    known = {(document.codec, document.setting) for document in found}
    todo = [case for case in CASES if (case[0], shown(case[1])) not in known]
    drawn = [page.pixels for page in text_pages(pages)] if todo else []
    for name, setting in todo:
        if not_built(name):
            continue
        codec = built(name, setting)
        assert codec is not None
        streams = [codec.encode(page) for page in drawn]
        shares = [counted_bytes(codec, data) - len(data) for data in streams]
        sizes = [len(data) for data in streams]
        found.append(Document(name, shown(setting), sizes, PAGES * max(shares)))
        write_json(path, {"origin": origin, "documents": [asdict(one) for one in found]})
        print(f"documents: {name} {shown(setting)}".strip(), file=sys.stderr, flush=True)
    return found


def break_even(with_side: Document, without: Document) -> int | None:
    """Pages from which on a document takes no more bytes with the file; None: never."""
    for pages in range(1, len(without.sizes) + 1):
        if with_side.bytes_of(pages) <= without.bytes_of(pages):
            return pages
    saved = statistics.fmean(without.sizes) - statistics.fmean(with_side.sizes)
    return math.ceil(with_side.side / saved) if saved > 0 else None


def document_table(documents: Sequence[Document]) -> Iterator[str]:
    """Bytes of documents of each length, then from how many pages on a prior pays."""
    if not documents:
        return
    lengths = " | ".join(f"{n} page{'s' * (n > 1)}" for n in LENGTHS)
    yield f"| codec | setting | its file | {lengths} |"
    yield "|---|---|---|" + "---|" * len(LENGTHS)
    for one in documents:
        side = f"{one.side:,}" if one.side else ""
        cells = " | ".join(f"{one.bytes_of(n):,.0f}" for n in LENGTHS)
        yield f"| {one.codec} | {one.setting} | {side} | {cells} |"
    yield ""
    count = len(documents[0].sizes)
    beyond = "; their mean stands for more of them" if count < max(LENGTHS) else ""
    yield f"{count} pages were encoded{beyond}."
    yield ""
    by_name = {(one.codec, one.setting): one for one in documents}
    for (codec, setting), one in by_name.items():
        for name, other in (
            ("itself without one", by_name.get((codec, f"{setting} prior=null"))),
            ("jb2", by_name.get(("jb2", "")) if setting == "levels=2" else None),
            ("strips", by_name.get(("strips", setting))),
        ):
            if one.side and other is not None:
                pages = break_even(one, other)
                since = f"from {pages} pages on" if pages else "at no length"
                yield f"- {codec} {setting}, its file counted once, beats {name} {since}"
