"""Which vision tokens `token` keeps on pages of text: those with letters, or the blank ones?

python -m bench.kept [--keep-ratio 0.5] [--samples 64]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from freqexp.answering.session import Session
from freqexp.composing.compose import compose
from freqexp.config.run import RunConfig
from freqexp.nouns.page import Pixels
from freqexp.tokens.base import TokenCompressor

PARTS = {
    "transform, quantise, prune": (),
    "transform, prune": ("compressor.quantize=false",),
    "prune": ("compressor.transform=false", "compressor.quantize=false"),
}
PAPER = 250  # a token whose every pixel is lighter shows nothing


def main() -> None:
    """Print one row for each combination of the compressor's parts that prunes."""
    parser = argparse.ArgumentParser(description="Which vision tokens are kept.")
    parser.add_argument("--keep-ratio", type=float, default=0.5)
    parser.add_argument("--samples", type=int, default=64)
    arguments = parser.parse_args()
    own = (f"keep_ratio={arguments.keep_ratio}", f"samples={arguments.samples}", "tracking=off")
    session = Session()
    print(f"{'parts':<28}{'blank tokens':>14}{'kept':>8}{'tokens with letters':>21}{'kept':>8}")
    for parts, overrides in PARTS.items():
        cfg = compose(("compressor=token", *overrides, *own))
        blank, kept = kept_tokens(session, cfg)
        of_blank, of_letters = kept[blank].mean(), kept[~blank].mean()
        counts = f"{blank.sum():>14}{of_blank:>8.1%}{(~blank).sum():>21}{of_letters:>8.1%}"
        print(f"{parts:<28}{counts}")


def kept_tokens(session: Session, cfg: RunConfig) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For every vision token of a run's pages: whether it is blank, whether it is kept."""
    compressor = cfg.compressor.build(cfg.keep_ratio, cfg.profile)
    assert isinstance(compressor, TokenCompressor)
    blank, kept = [], []
    for sample in session.samples(cfg):
        pages = [page.pixels for page in session.render(cfg.model.render, sample)[0].pages]
        encoded, _ = session.encode(session.reader(cfg), pages, share=True)
        for page, tokens in zip(pages, encoded, strict=True):
            mask = np.zeros(tokens.grid[0] * tokens.grid[1], dtype=bool)
            mask[compressor.compress(tokens).kept.cpu().numpy()] = True
            kept.append(mask)
            blank.append(blank_tokens(page, tokens.grid))
    return np.concatenate(blank), np.concatenate(kept)


def blank_tokens(page: Pixels, grid: Sequence[int]) -> NDArray[np.bool_]:
    """Whether each token of a gray page [height, width] uint8 lies on paper alone, raster order."""
    rows, columns = grid
    tiles = page.reshape(rows, page.shape[0] // rows, columns, page.shape[1] // columns)
    blank: NDArray[np.bool_] = (tiles.min(axis=(1, 3)) > PAPER).reshape(-1)
    return blank


if __name__ == "__main__":
    main()
