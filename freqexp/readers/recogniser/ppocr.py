"""PP-OCR's line recogniser (PP-OCRv6 small, from rapidocr's wheel) as a reader of whole samples.

It measures legibility: whether what is left of a page can still be read, line by line, with lines
whose places are known. It has no language model and no cache, and answers MRCR's questions by
locating the turn in what it read.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from freqexp.errors import UserError, fault
from freqexp.nouns.page import Lines, Pixels
from freqexp.nouns.vision import Chooser, CompressedTokens, Signal, VisionTokens
from freqexp.readers.base import Answer, Reader
from freqexp.readers.check import check_tokens
from freqexp.readers.recogniser.graph import CHANNELS, TOKENS, split
from freqexp.readers.recogniser.lines import HEIGHT, alphabet, model_path, runtime
from freqexp.readers.recogniser.text import Line, Outputs, decode_page
from freqexp.readers.recogniser.turns import find_reply, parse_question

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

STRIDE = 8
"""Columns of pixels, at HEIGHT rows a line, that become one vision token."""
MAX_COLUMNS = 4096

_Floats = npt.NDArray[np.float32]


class PpocrReader(Reader):
    """A page becomes one grid: a row for each line, a column for each 8 pixels of the line at a
    height of 48.

    The second half of the network mixes the tokens of a line (a convolution over 7 neighbours, two
    blocks of attention without positions) and names a character or nothing for each. Dropped tokens
    are not in its sequence: kept neighbours become neighbours, as in CTC without those frames.
    """

    reads_lines = True

    def __init__(self, model: bytes, marks: tuple[str, str]) -> None:
        """model: the recogniser as an ONNX file. marks: see `Renderer`."""
        encoder, head = split(model)
        threads = torch.get_num_threads()
        self._encoder = runtime(encoder, threads)
        self._head = runtime(head, threads)
        self._input = self._encoder.get_inputs()[0].name
        self._alphabet = alphabet(self._encoder)
        self._marks = marks

    @classmethod
    def load(cls, config: ModelConfig) -> PpocrReader:
        """The installed recogniser. Raises UserError when it is not installed."""
        return cls(model_path().read_bytes(), config.render.build().marks)

    def encode(
        self,
        pages: Sequence[Pixels],
        signals: Sequence[Signal] = (),
        chooser: Chooser | None = None,
    ) -> list[VisionTokens]:
        """Raises UserError: without their lines pages can't be read, see `encode_lines`."""
        return self.encode_lines(pages, [()] * len(pages))

    def encode_lines(self, pages: Sequence[Pixels], lines: Sequence[Lines]) -> list[VisionTokens]:
        """Vision tokens of each page: features [lines * columns, CHANNELS] float32."""
        if not pages:
            raise UserError("sample: got no pages, allowed: at least one")
        return [
            self._encode_page(number, page, places)
            for number, (page, places) in enumerate(zip(pages, lines, strict=True), start=1)
        ]

    def _encode_page(self, number: int, page: Pixels, lines: Lines) -> VisionTokens:
        if not lines:
            allowed = "the places of its lines, as render=cells and render=glyph give them"
            raise UserError(f"page {number}: {fault('lines', (), allowed)}")
        columns = line_columns(page, lines)
        if columns > MAX_COLUMNS:
            width = fault("width", page.shape[1], f"{MAX_COLUMNS} tokens a line, not {columns}")
            raise UserError(f"page {number}: {width}")
        # Line by line is a little faster than in batches, and no line depends on the others.
        found = [
            self._encoder.run([TOKENS], {self._input: crop})[0][0, :, 0].T
            for crop in _crops(page, lines, columns)
        ]
        features = np.ascontiguousarray(np.concatenate(found))
        return VisionTokens(torch.from_numpy(features), (len(lines), columns))

    def answer(self, question: str, vision: Sequence[CompressedTokens]) -> Answer:
        """The reply of the turn that the question asks for, as it was read, after its prefix; the
        prefix alone when no such turn was read.

        `prefill_ms` is the second half of the network, `decode_ms` all that follows it.
        """
        wanted = parse_question(question)
        check_tokens(vision, CHANNELS, 0)
        started = time.perf_counter()
        outputs = [self._outputs(page) for page in vision]
        seen = time.perf_counter()
        pages = [
            decode_page(lines, page.grid[1], self._alphabet)
            for lines, page in zip(outputs, vision, strict=True)
        ]
        text = find_reply([line for page in pages for line in page], wanted, self._marks) or ""
        done = time.perf_counter()
        tokens = sum(len(line.best) for lines in outputs for line in lines)
        transcript = tuple(map(_text, pages))
        return Answer(
            text=wanted.prefix + text,
            truncated=False,
            vision_tokens_in=sum(rows * columns for rows, columns in (p.grid for p in vision)),
            vision_tokens_out=tokens,
            decoder_tokens=tokens,
            kv_cache_bytes=None,
            prefill_ms=(seen - started) * 1000,
            decode_ms=(done - seen) * 1000,
            raw_text="\n".join(transcript),
            transcript=transcript,
        )

    def _outputs(self, page: CompressedTokens) -> list[Outputs]:
        """What the second half makes of each line's kept tokens."""
        rows, width = page.grid
        features = page.features.float().cpu().numpy()
        kept = page.kept.cpu().numpy()
        edges = np.searchsorted(kept, np.arange(rows + 1) * width)
        found = []
        for row, (start, end) in enumerate(itertools.pairwise(edges)):
            best, probability = self._read(features[start:end])
            found.append(Outputs(best, probability, kept[start:end] - row * width))
        return found

    def _read(self, tokens: _Floats) -> tuple[npt.NDArray[np.int64], _Floats]:
        """Best output and its probability, [tokens] each, of a line's tokens [tokens, CHANNELS]."""
        if not len(tokens):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        inputs = np.ascontiguousarray(tokens.T[np.newaxis, :, np.newaxis, :])
        outputs: Any = self._head.run(None, {TOKENS: inputs})[0][0]
        assert len(outputs) == len(tokens), "a token without an output"
        return outputs.argmax(axis=1), outputs.max(axis=1)


def line_columns(page: Pixels, lines: Lines) -> int:
    """Tokens a line of a page: its width at the scale that makes its highest line HEIGHT high."""
    height = max(bottom - top for top, bottom in lines)
    return max(1, int(page.shape[1] * HEIGHT / (height * STRIDE) + 0.5))


def _crops(page: Pixels, lines: Lines, columns: int) -> Iterator[_Floats]:
    """Each line of a page as the recogniser takes it: float32 [1, 3, HEIGHT, columns * STRIDE] in
    [-1, 1]. A line that was cut off is white.
    """
    from PIL import Image

    image = Image.fromarray(page).convert("RGB")
    size = (columns * STRIDE, HEIGHT)
    for top, bottom in lines:
        crop = Image.new("RGB", size, "white")
        if bottom > top:
            box = (0, top, image.width, min(bottom, image.height))
            crop = image.resize(size, Image.Resampling.BILINEAR, box=box)
        values = np.moveaxis(np.asarray(crop, dtype=np.float32), -1, 0)[np.newaxis]
        yield values / np.float32(127.5) - np.float32(1)


def _text(lines: Sequence[Line]) -> str:
    return "\n".join(line.text for line in lines)
