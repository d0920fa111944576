"""What several runs in one process share: model, samples, pages and vision encodings."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.answering.cache import (
    ByteLru,
    held_bytes,
    moved,
    only,
    pixels_key,
    signal_sets,
    with_signals,
)
from freqexp.answering.encodings import DiskEncodings, encoder_key
from freqexp.answering.flops import Flops
from freqexp.answering.ledger import PageSizes, page_sizes
from freqexp.answering.measure import free_cuda_cache, stopwatch
from freqexp.answering.sources import (
    grade_answer,
    identify,
    load_reader,
    load_samples,
    source_hashes,
)
from freqexp.errors import UserError
from freqexp.memory.guard import check_memory
from freqexp.nouns.page import Lines, Page, Pixels
from freqexp.schemas.choices import Input, Missing

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig
    from freqexp.nouns.sample import Grade, Sample
    from freqexp.nouns.vision import Chooser, Signal, VisionTokens
    from freqexp.readers.base import Reader
    from freqexp.schemas.model import ModelConfig
    from freqexp.schemas.needles import NeedlesConfig
    from freqexp.schemas.render import RenderConfig

ENCODINGS_BYTES = 2 << 30
PAGES_BYTES = 512 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Rendered:
    """A sample's pages, what they take without any method, and the time to draw them."""

    pages: tuple[Page, ...]
    sizes: PageSizes
    render_ms: float


class Session:
    """Holds one loaded model at a time, and bounded caches.

    The parameters are where the parts come from; tests put their own there.
    encodings_bytes: how much the encodings in memory may take. They are held in main memory, so
        that on a GPU the room is the model's.
    """

    def __init__(
        self,
        *,
        reader: Callable[[ModelConfig], Reader] = load_reader,
        samples: Callable[[NeedlesConfig, int, int], list[Sample]] = load_samples,
        grade: Callable[[str, Sample], Grade] = grade_answer,
        run_id: Callable[[RunConfig], str] = identify,
        hashes: Callable[[RunConfig], dict[str, Any]] = source_hashes,
        encodings_bytes: int = ENCODINGS_BYTES,
    ) -> None:
        self.grade = grade
        self.hashes = hashes
        self._load_reader = reader
        self._load_samples = samples
        self._identify = run_id
        self._run_ids: dict[str, str] = {}
        self._data: tuple[str, list[Sample]] | None = None
        self._reader: tuple[str, Reader] | None = None
        self._flops: tuple[Reader, Flops] | None = None
        self._pages: ByteLru[Rendered] = ByteLru(PAGES_BYTES)
        self._encodings: ByteLru[list[VisionTokens]] = ByteLru(encodings_bytes)
        self._disk: DiskEncodings | None = None
        self._text_tokens: dict[bytes, int] = {}

    def run_id(self, cfg: RunConfig) -> str:
        """The run id of `cfg`, fixed when first asked for: later edits of code do not change it."""
        key = repr(replace(cfg, sweep_name=None))
        if key not in self._run_ids:
            self._run_ids[key] = self._identify(cfg)
        return self._run_ids[key]

    def samples(self, cfg: RunConfig) -> list[Sample]:
        """The samples of `cfg`; those of the last data set asked for are kept."""
        key = repr((cfg.needles, cfg.samples, cfg.seed))
        if self._data is None or self._data[0] != key:
            self._data = (key, self._load_samples(cfg.needles, cfg.samples, cfg.seed))
            log.info("%d samples, %s needles", len(self._data[1]), cfg.needles.count)
        return self._data[1]

    def reader(self, cfg: RunConfig) -> Reader:
        """The loaded model of `cfg`. Another one takes the place of the last and its encodings.

        Raises UserError for weights that can't be had, and for a model that can't fit here.
        """
        # The same weights read pages and text.
        key = repr(replace(cfg.model, input=Input.pages))
        if self._reader is None or self._reader[0] != key:
            self._reader = self._flops = None
            self._encodings.clear()
            self._text_tokens.clear()
            free_cuda_cache()
            if cfg.cluster.threads is not None:
                import torch

                torch.set_num_threads(cfg.cluster.threads)
            check_memory(cfg, self.samples(cfg))
            with stopwatch() as watch:
                self._reader = (key, self._loaded(cfg))
            log.info("model %s loaded in %.1f s", cfg.model.name, watch.ms / 1000)
        self._disk = self._disk_encodings(cfg)
        return self._reader[1]

    def flops(self, reader: Reader) -> Flops:
        """What is counted of a loaded model; runs of the same one share it."""
        if self._flops is None or self._flops[0] is not reader:
            self._flops = (reader, Flops(reader))
        return self._flops[1]

    def _loaded(self, cfg: RunConfig) -> Reader:
        if not cfg.cluster.shard:
            return self._load_reader(cfg.model)
        from freqexp.readers.weights import spread

        with spread(over_all_gpus=True):
            return self._load_reader(cfg.model)

    def _disk_encodings(self, cfg: RunConfig) -> DiskEncodings | None:
        """The encodings that runs of this model share on disk, if they are to."""
        if cfg.encodings_cache_gb == 0:
            return None
        encoder = encoder_key(cfg.model, self.hashes(cfg)["weights_hash"])
        folder = Path(cfg.output_dir) / "cache" / "encodings"
        return DiskEncodings(folder, encoder, int(cfg.encodings_cache_gb * 1e9))

    def render(self, config: RenderConfig, sample: Sample) -> tuple[Rendered, float | None]:
        """The sample's pages and the milliseconds of drawing them now (None: from the cache).

        Raises UserError when text was drawn without a trace, and for characters that are missing
        where the configuration says so.
        """
        key = (repr(config), sample.turns)
        held = self._pages.get(key)
        if held is not None:
            return held, None
        with stopwatch() as watch:
            pages = tuple(config.build().render(sample.turns))
        _check_ink(pages)
        if config.missing is Missing.error:
            _check_missing(pages)
        rendered = Rendered(pages, page_sizes(pages), watch.ms)
        self._pages.put(key, rendered, rendered.sizes.raw_bytes)
        return rendered, watch.ms

    def text_tokens(self, reader: Reader, text: str) -> int:
        """How many tokens a text takes with the loaded model's tokenizer, counted once."""
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key not in self._text_tokens:
            self._text_tokens[key] = len(reader.text_ids(text))
        return self._text_tokens[key]

    def encode(
        self,
        reader: Reader,
        pixels: Sequence[Pixels],
        lines: Sequence[Lines] = (),
        *,
        signals: Sequence[Signal] = (),
        chooser: Chooser | None = None,
        share: bool,
    ) -> tuple[list[VisionTokens], float | None]:
        """Vision tokens of a sample's pages and the milliseconds of encoding now (None: cached).

        The key is the loaded model and the pixels of all pages together: encoders batch pages, and
        another batch may round differently. What is held is the encoder's own output, so it is
        equal to a fresh encoding bit by bit.
        lines: of each page, for a reader that reads by them; others depend on the pixels alone.
        signals: what comes with the tokens. An encoding with more of them serves, too: they change
        no feature.
        chooser: see `Reader.encode`; what it leaves of a page is not held.
        share: whether another run could ask for these pixels again.
        """
        key = pixels_key(pixels, lines if reader.reads_lines else ())
        held = None if chooser is not None else self._held(key, signals)
        if held is not None:
            device = getattr(reader, "device", "cpu")
            return [moved(page, device) for page in held], None
        with stopwatch() as watch:
            if reader.reads_lines:
                vision = reader.encode_lines(pixels, lines)
            else:
                vision = reader.encode(pixels, signals, chooser)
        if share and chooser is None:
            held = [moved(page, "cpu") for page in vision]
            own_key = with_signals(key, signals)
            self._encodings.put(own_key, held, held_bytes(held))
            if self._disk is not None:
                self._disk.put(own_key, held)
        return vision, watch.ms

    def _held(self, key: str, signals: Sequence[Signal]) -> list[VisionTokens] | None:
        """An encoding with at least these signals, from memory or disk, and with no others."""
        for names in signal_sets(signals):
            own_key = with_signals(key, names)
            held, where = self._encodings.get(own_key), "memory"
            if held is None and self._disk is not None:
                held, where = self._disk.get(own_key), "disk"
                if held is not None:
                    self._encodings.put(own_key, held, held_bytes(held))
            if held is not None:
                log.debug("encoding of %d pages taken from %s", len(held), where)
                return [only(page, signals) for page in held]
        return None


def _check_ink(pages: Sequence[Page]) -> None:
    for number, page in enumerate(pages, 1):
        if page.text.strip() and page.pixels.min() == page.pixels.max():
            raise UserError(
                f"page {number} has text, {page.text.strip()[:40]!r}, but no ink; has the font of "
                "model.render these characters?"
            )


def _check_missing(pages: Sequence[Page]) -> None:
    missing = "".join(page.missing for page in pages)
    if missing:
        shown = "".join(dict.fromkeys(missing))[:20]
        raise UserError(
            f"{len(missing)} characters can't be shown as they should look, such as {shown!r}; "
            "a font that has them in model.render.fallback, model.render.layout=raqm (glyph) for "
            "letters that join or run from right to left, or model.render.missing=mark"
        )
