"""What methods are tried on: pages, vision tokens, a decoder layer, a layer of a cache."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from freqexp.nouns.cache import LayerCache
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import LayerView, Signal, VisionTokens
from freqexp.tokens.base import TokenCompressor

GRIDS = ((12, 12), (30, 21), (1, 7), (7, 1), (1, 1))
HEADS, CHANNELS = 2, 16
LINES = (
    "User: write a poem about the harbour at night, please.",
    "Assistant: The lamps lean out over the water, and 37 boats answer them.",
    "User: now a riddle about clocks; keep it short!",
    "Assistant: It has two hands and a face but never washes either of them.",
)


def draw_text(height: int, width: int, lines: int) -> Pixels:
    """A gray page [height, width] uint8 with `lines` lines of 9 px DejaVu Sans, white below."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    font_file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(str(font_file), 9)
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    for line in range(lines):
        draw.text((10, 10 + 10 * line), f"{LINES[line % len(LINES)]} {line}", font=font, fill=0)
    return np.array(image)


def on_cream(page: Pixels) -> Pixels:
    """Dark blue text on cream, RGB [H, W, 3] of a gray page [H, W]."""
    ink = 1 - page[:, :, np.newaxis] / 255
    paper, blue = np.array([250, 245, 220]), np.array([10, 20, 90])
    return np.rint(paper * (1 - ink) + blue * ink).astype(np.uint8)


@functools.cache
def text_page() -> Pixels:
    """A full page of text, gray [842, 595]; neither side is a multiple of 14. Read-only."""
    return _frozen(draw_text(842, 595, 82))


@functools.cache
def colour_page() -> Pixels:
    """Its upper left in colours, RGB [200, 301, 3]. Read-only."""
    return _frozen(on_cream(text_page()[:200, :301]))


def small_pages() -> list[Pixels]:
    """Text, colour, blank, smaller than any block, a single pixel; all read-only."""
    text, colour = text_page(), colour_page()
    pages = [text[:70, :98], text[:61, :90], colour[:40, :50]]
    pages += [np.full((45, 31), 255, dtype=np.uint8), text[12:17, 12:21], text[12:13, 12:13]]
    return [_frozen(page.copy()) for page in pages]


def _frozen(page: Pixels) -> Pixels:
    page.flags.writeable = False
    return page


def make_tokens(
    grid: tuple[int, int], dtype: torch.dtype = torch.float32, budget: int | None = None
) -> VisionTokens:
    """A page that is blank from the middle of each line on, with every signal there is."""
    size, rng = grid[0] * grid[1], np.random.default_rng(grid)
    features = torch.from_numpy(rng.normal(size=(size, CHANNELS))).to(dtype)
    pixels = rng.integers(0, 256, (*grid, 4, 4, 3), dtype=np.uint8)
    pixels[:, grid[1] // 2 :] = 255
    attention = torch.from_numpy(rng.random(size)).float()
    signals: dict[Signal, Tensor] = {
        "pixels": torch.from_numpy(pixels).flatten(0, 1),
        "attention": attention / attention.sum(),
        "keys": torch.from_numpy(rng.normal(size=(size, 8))).float(),
        "question": torch.from_numpy(rng.normal(size=(5, CHANNELS))).to(dtype),
    }
    return VisionTokens(features, grid, signals=signals, budget=budget)


def only_signals(tokens: VisionTokens, names: tuple[Signal, ...]) -> VisionTokens:
    """Without the other signals."""
    return replace(tokens, signals={name: tokens.signals[name] for name in names})


def as_asked(tokens: VisionTokens, compressor: TokenCompressor) -> VisionTokens:
    """With the signals that a compressor asks for and no other; before the encoder, the tokens that
    it lets through.
    """
    asked = only_signals(tokens, compressor.signals)
    if not compressor.before_encoder:
        return asked
    places = compressor.choose(tokens.signals["pixels"], tokens.grid)
    return replace(asked, features=tokens.features[places], places=places, signals={})


def make_view(vision: int, others: int = 9) -> LayerView:
    """A request whose vision tokens stand between other ones."""
    random = np.random.default_rng((vision, others))
    length = vision + others

    def noise(*shape: int) -> Tensor:
        return torch.from_numpy(random.normal(size=shape)).float()

    places = torch.arange(vision) + others // 2
    return LayerView(noise(length, 16), noise(2, length, 8), noise(4, 8), 8**-0.5, places)


def make_layer(
    queries: int, tokens: int, dtype: torch.dtype = torch.float32, number: int = 0
) -> LayerCache:
    """A row of a padded batch, as readers have it: every tensor is a view of a larger one. Two
    stretches are pages; of one all tokens are alike. queries: of so many of the last tokens.
    """
    rng = np.random.default_rng((tokens, number))

    def row(heads: int, length: int) -> Tensor:
        batch = rng.normal(size=(2, heads, length + 5, CHANNELS))
        return torch.from_numpy(batch).to(dtype)[1, :, 5:]

    places = torch.arange(tokens)
    keys, values = row(HEADS, tokens), row(HEADS, tokens)
    same = (places > 0.4 * tokens) & (places < 0.5 * tokens)
    keys[:, same], values[:, same] = keys[:, :1].clone(), values[:, :1].clone()
    vision = (places >= tokens // 20) & (places % 50 < 45) & (places < tokens - tokens // 20)
    asked = row(2 * HEADS, min(queries, tokens)) if queries else None
    return LayerCache(keys, values, vision, asked, CHANNELS**-0.5, number)
