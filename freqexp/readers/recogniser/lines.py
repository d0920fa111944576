"""PP-OCR's line recogniser, as rapidocr's wheel carries it.

It measures legibility, no more: it sees one line at a time and answers no question.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freqexp.errors import UserError
from freqexp.nouns.page import Pixels

MODEL = "PP-OCRv6_rec_small.onnx"
HEIGHT = 48
_WIDTH_STEP = 64
_LEAST_WIDTH = 320


def model_path() -> Path:
    """The recogniser in the installed package. Raises UserError when it is not there."""
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the pretrained reader is missing: pip install 'freqexp[ocr]'")
    path = Path(spec.submodule_search_locations[0]) / "models" / MODEL
    if not path.exists():
        raise UserError(f"{path}: missing; this release of rapidocr carries another recogniser")
    return path


def runtime(model: bytes, threads: int) -> Any:
    """An ONNX model, ready to run on the CPU. Raises UserError without onnxruntime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "the pretrained reader needs onnxruntime: pip install 'freqexp[ocr]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def alphabet(session: Any) -> list[str]:
    """The text of each output of the recogniser; output 0 is CTC's blank."""
    listed = session.get_modelmeta().custom_metadata_map["character"]
    # The space stands behind the listed characters.
    return ["", *listed.splitlines(), " "]


class LineReader:
    """Reads one line of text at a time."""

    def __init__(self, threads: int = 1) -> None:
        """Load the recogniser. Raises UserError when it is not installed."""
        self._session = runtime(model_path().read_bytes(), threads)
        self._input = self._session.get_inputs()[0].name
        self._characters = alphabet(self._session)
        self._known: dict[bytes, str] = {}

    def read(self, line: Pixels) -> str:
        """The text of one line, uint8 [H, W] or [H, W, 3]; the same pixels are read once."""
        key = np.array(line.shape).tobytes() + line.tobytes()
        if key not in self._known:
            outputs = self._session.run(None, {self._input: line_input(line)})[0]
            self._known[key] = self._text(outputs[0].argmax(axis=1))
        return self._known[key]

    def _text(self, best: npt.NDArray[np.int64]) -> str:
        """CTC: repeated outputs count once, blanks not at all."""
        first = np.append(True, best[1:] != best[:-1])
        return "".join(self._characters[index] for index in best[first]).strip()


def line_input(line: Pixels) -> npt.NDArray[np.float32]:
    """The recogniser's input: float32 [1, 3, 48, width] in [-1, 1], the line scaled to 48 rows."""
    from PIL import Image

    colour = line if line.ndim == 3 else np.repeat(line[..., np.newaxis], 3, axis=2)
    width = max(1, round(line.shape[1] * HEIGHT / line.shape[0]))
    scaled = Image.fromarray(colour).resize((width, HEIGHT), Image.Resampling.BILINEAR)
    padded = max(_LEAST_WIDTH, -(-width // _WIDTH_STEP) * _WIDTH_STEP)
    found = np.zeros((1, 3, HEIGHT, padded), dtype=np.float32)
    found[0, :, :, :width] = np.moveaxis(np.asarray(scaled), -1, 0) / np.float32(127.5) - 1
    return found


@functools.cache
def line_reader(threads: int = 1) -> LineReader:
    """One reader a process."""
    return LineReader(threads)
