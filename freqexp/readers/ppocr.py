"""PP-OCR's line recogniser (PP-OCRv6 small, from rapidocr's wheel) as a reader of whole samples.

It measures legibility: whether what is left of a page can still be read, line by line, with lines
whose places are known. It has no language model and no cache, and answers MRCR's questions by
locating the turn in what it read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from freqexp.errors import UserError, fault
from freqexp.page import Lines, Pixels
from freqexp.readers.base import Answer, Reader
from freqexp.readers.check import check_tokens
from freqexp.readers.ppocr_graph import CHANNELS, TOKENS, split
from freqexp.readers.ppocr_lines import HEIGHT, alphabet, model_path, runtime
from freqexp.readers.ppocr_text import Line, Outputs, decode_page
from freqexp.readers.ppocr_turns import find_reply, parse_question
from freqexp.tokens.base import CompressedTokens, VisionTokens

if TYPE_CHECKING:
    from freqexp.config import ModelConfig

STRIDE = 8
"""Columns of pixels, at HEIGHT rows a line, that become one vision token."""
MAX_COLUMNS = 4096
_BATCH_TOKENS = 2048

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

    def encode(self, pages: Sequence[Pixels]) -> list[VisionTokens]:
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
        step = max(1, _BATCH_TOKENS // columns)
        found = [
            self._encoder.run([TOKENS], {self._input: crops})[0]
            for crops in _crops(page, lines, columns, step)
        ]
        features = np.concatenate(found)[:, :, 0, :].transpose(0, 2, 1).reshape(-1, CHANNELS)
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
        """What the second half makes of each line's kept tokens; lines of one length together."""
        rows, width = page.grid
        features = page.features.float().cpu().numpy()
        kept = page.kept.cpu().numpy()
        edges = np.searchsorted(kept, np.arange(rows + 1) * width)
        counts = np.diff(edges)
        empty = np.zeros(0, dtype=np.int64)
        found = [Outputs(empty, np.zeros(0, dtype=np.float32), empty)] * rows
        for count in np.unique(counts[counts > 0]):
            same = np.flatnonzero(counts == count)
            step = max(1, _BATCH_TOKENS // int(count))
            for batch in np.split(same, range(step, len(same), step)):
                tokens = np.stack([features[edges[row] : edges[row + 1]] for row in batch])
                best, probability = self._read(tokens)
                for index, row in enumerate(batch):
                    places = kept[edges[row] : edges[row + 1]] - row * width
                    found[row] = Outputs(best[index], probability[index], places)
        return found

    def _read(self, tokens: _Floats) -> tuple[npt.NDArray[np.int64], _Floats]:
        """Best output and its probability, [lines, tokens] each, of [lines, tokens, CHANNELS]."""
        inputs = np.ascontiguousarray(tokens.transpose(0, 2, 1)[:, :, np.newaxis, :])
        outputs: Any = self._head.run(None, {TOKENS: inputs})[0]
        assert outputs.shape[:2] == tokens.shape[:2], "a token without an output"
        return outputs.argmax(axis=2), outputs.max(axis=2)


def line_columns(page: Pixels, lines: Lines) -> int:
    """Tokens a line of a page: its width at the scale that makes its highest line HEIGHT high."""
    height = max(bottom - top for top, bottom in lines)
    return max(1, int(page.shape[1] * HEIGHT / (height * STRIDE) + 0.5))


def _crops(page: Pixels, lines: Lines, columns: int, step: int) -> Iterator[_Floats]:
    """The lines of a page, `step` at a time, as the recogniser takes them: float32
    [lines, 3, HEIGHT, columns * STRIDE] in [-1, 1]. A line that was cut off is white.
    """
    from PIL import Image

    image = Image.fromarray(page).convert("RGB")
    size = (columns * STRIDE, HEIGHT)
    for start in range(0, len(lines), step):
        crops = np.full((len(lines[start : start + step]), HEIGHT, size[0], 3), 255, dtype=np.uint8)
        for crop, (top, bottom) in zip(crops, lines[start : start + step], strict=True):
            if bottom > top:
                box = (0, top, image.width, min(bottom, image.height))
                crop[:] = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))
        yield np.moveaxis(crops, -1, 1).astype(np.float32) / np.float32(127.5) - np.float32(1)


def _text(lines: Sequence[Line]) -> str:
    return "\n".join(line.text for line in lines)
