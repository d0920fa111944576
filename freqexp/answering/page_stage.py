"""What happens to a sample's pages before they are tokens: drawn, coded and decoded, encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from freqexp.answering.measure import stopwatch
from freqexp.answering.storage import Stored, stored_pages
from freqexp.answering.work import PageImages
from freqexp.nouns.page import Lines, Page, Pixels, png_size_bytes, scaled_lines

if TYPE_CHECKING:
    from freqexp.answering.session import Session
    from freqexp.answering.token_stage import TimedChooser
    from freqexp.answering.work import Work
    from freqexp.codecs.base import Codec
    from freqexp.config.run import RunConfig
    from freqexp.nouns.sample import Sample
    from freqexp.nouns.vision import Signal, VisionTokens

WARM_UP_PAGES = 4
"""Of hundreds of pages all would take as long as the sample itself."""


class PageStage:
    """A codec of page images, or none.

    share: whether encodings of its pages are kept for other runs.
    """

    def __init__(self, cfg: RunConfig, codec: Codec | None, session: Session, share: bool) -> None:
        self._render = cfg.model.render
        self._codec = codec
        self._session = session
        self._reader = session.reader(cfg)
        self._flops = session.flops(self._reader)
        self._share = share

    def draw(self, work: Work) -> tuple[float, Stored] | None:
        """Draw a sample's pages and put them through the codec, if there is one: what it took (ms)
        and stored.
        """
        rendered, render_ms = self._session.render(self._render, work.sample)
        work.pages, found = rendered.pages, work.found
        before = [page.pixels for page in rendered.pages]
        found.update(
            pages=len(before),
            png_bytes_after=rendered.sizes.png_bytes,
            render_ms=render_ms,
            **asdict(rendered.sizes),
        )
        if self._codec is None:
            work.images = PageImages(before, before)
            return None
        with stopwatch() as watch:
            results = [self._codec.compress(pixels) for pixels in before]
        after = [result.pixels for result in results]
        found["png_bytes_after"] = sum(png_size_bytes(pixels) for pixels in after)
        work.images = PageImages(before, after)
        return watch.ms, stored_pages(before, results)

    def encode(
        self, work: Work, signals: Sequence[Signal], chooser: TimedChooser | None
    ) -> list[VisionTokens]:
        """Vision tokens of the pages that were drawn, and note what they took."""
        assert work.images is not None
        if chooser is not None:
            chooser.restart()
        vision, encode_ms = self._session.encode(
            self._reader,
            work.images.after,
            _lines_after(work.pages, work.images.after),
            signals=signals,
            chooser=chooser,
            share=self._share,
        )
        if encode_ms is not None and chooser is not None:
            encode_ms -= chooser.taken_ms
        work.found["encode_ms"] = encode_ms
        if chooser is None:
            work.found["encode_flops"] = self._flops.encode(work.images.after)
        return vision

    def first_tokens(
        self, sample: Sample, signals: Sequence[Signal], chooser: TimedChooser | None
    ) -> tuple[list[VisionTokens], bool]:
        """Tokens of a sample's first pages, to warm up with, and whether those are all."""
        drawn = self._render.build().render(sample.turns)
        pages = drawn[:WARM_UP_PAGES]
        pixels = [page.pixels for page in pages]
        if self._codec is not None:
            pixels = [self._codec.compress(page).pixels for page in pixels]
        if self._reader.reads_lines:
            vision = self._reader.encode_lines(pixels, _lines_after(pages, pixels))
        else:
            vision = self._reader.encode(pixels, signals, chooser)
        return vision, len(pages) == len(drawn)


def _lines_after(pages: Sequence[Page], after: Sequence[Pixels]) -> list[Lines]:
    """Where the lines of pages are when a codec has changed their height."""
    return [
        scaled_lines(page.lines, pixels.shape[0] / page.pixels.shape[0])
        for page, pixels in zip(pages, after, strict=True)
    ]
