"""Pages before and after the block DCT, their spectra and residuals, as figures and numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from freqexp.errors import UserError
from freqexp.nouns.page import Page, Pixels, png_size_bytes
from freqexp.report.drawing import Drawn, save, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRIP_PX = 110
GAIN = 5
PSNR_PEAK = 255.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Study:
    """Pages, and the kept shares of coefficients of block x block pixels to draw them at.

    name: of the files. title: what the pages are.
    """

    name: str
    title: str
    pages: tuple[Page, ...]
    block: int
    keep_ratios: tuple[float, ...]


def restore(pixels: Pixels, block: int, keep_ratio: float) -> Pixels:
    """The page ([H, W] uint8) after the published codec, padded and cropped: the same size."""
    from freqexp.codecs.block_dct import BlockDct

    codec = BlockDct(block=block, keep_ratio=keep_ratio, fit="pad", bitstream=False)
    return codec.compress(pixels).pixels


def mean_magnitude(pages: Sequence[Pixels], block: int) -> Floats:
    """Mean |C| of each coefficient over all blocks of gray pages: float64 [block, block]."""
    import torch

    from freqexp.coding.transforms import dct2, split_blocks

    total, count = np.zeros((block, block)), 0
    for pixels in pages:
        sides = [(0, -side % block) for side in pixels.shape]
        padded = torch.from_numpy(np.pad(pixels, sides, mode="edge").astype(np.float64))
        magnitude = dct2(split_blocks(padded, block), (-3, -1)).abs()
        total += magnitude.sum(dim=(0, 2)).numpy()
        count += magnitude.shape[0] * magnitude.shape[2]
    return np.asarray(total / count)


def psnr_db(before: Sequence[Pixels], after: Sequence[Pixels]) -> float:
    """Peak signal-to-noise ratio over all pages; infinite where nothing changed."""
    squares = [np.square(a.astype(float) - b) for a, b in zip(before, after, strict=True)]
    error = sum(float(s.sum()) for s in squares) / sum(s.size for s in squares)
    return math.inf if error == 0 else 10 * math.log10(PSNR_PEAK**2 / error)


def draw_study(study: Study, folder: Path) -> list[Drawn]:
    """Pages, spectra and residuals as PNG and SVG, and their numbers as CSV.

    Raises UserError when they cannot be written.
    """
    pages = [page.pixels for page in study.pages]
    restored = {
        keep: [restore(pixels, study.block, keep) for pixels in pages] for keep in study.keep_ratios
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_numbers(study, pages, restored, folder / f"{study.name}_pages.csv")
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}") from None
    with style():
        figures = (
            ("pages", "A page at each keep ratio", _pages_figure(study, pages, restored)),
            ("spectrum", "Mean log spectrum", _spectrum_figure(study, pages, restored)),
            ("residual", f"Residual x {GAIN}", _residual_figure(study, pages, restored)),
        )
        return [
            save(figure, folder, Drawn(f"{study.name}_{name}", f"{caption} ({study.title})"))
            for name, caption, figure in figures
        ]


def _write_numbers(
    study: Study, pages: Sequence[Pixels], restored: dict[float, list[Pixels]], path: Path
) -> None:
    before = sum(map(png_size_bytes, pages)) / len(pages)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("keep_ratio", "block", "pages", "psnr_db", "png_bytes", "png_bytes_after"))
        for keep, after in restored.items():
            size = sum(map(png_size_bytes, after)) / len(after)
            psnr = psnr_db(pages, after)
            shown = "" if math.isinf(psnr) else round(psnr, 2)
            writer.writerow((keep, study.block, len(pages), shown, round(before), round(size)))


def _strip(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The upper left of a page, small enough that single letters can be seen."""
    width = pixels.shape[1]
    return pixels[: STRIP_PX * width // 600, : width * 2 // 3]


def _strips(rows: int, pixels: Pixels) -> tuple[Figure, list[Any]]:
    """A figure of `rows` strips of a page, one below the other."""
    from matplotlib.figure import Figure

    height, width = _strip(pixels).shape
    figure = Figure(figsize=(8.0, rows * (8.0 * height / width + 0.32)), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False).ravel().tolist()
    for panel in panels:
        panel.set(xticks=[], yticks=[])
        panel.grid(visible=False)
        for spine in panel.spines.values():
            spine.set(visible=True, color="#999999")
    return figure, panels


def _size(pixels: Pixels) -> str:
    return f"PNG of the page {png_size_bytes(pixels) / 1024:.1f} KiB"


def _pages_figure(
    study: Study, pages: Sequence[Pixels], restored: dict[float, list[Pixels]]
) -> Figure:
    page = pages[0]
    figure, panels = _strips(1 + len(restored), page)
    titles = [f"100 %: the first page as it is, upper left; {_size(page)}"]
    for keep, after in restored.items():
        psnr = psnr_db([page], after[:1])
        quality = "unchanged" if math.isinf(psnr) else f"PSNR {psnr:.1f} dB"
        titles.append(f"{_percent(keep)} of the coefficients kept; {quality}; {_size(after[0])}")
    shown = [page, *(after[0] for after in restored.values())]
    for panel, title, pixels in zip(panels, titles, shown, strict=True):
        panel.imshow(_strip(pixels), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        panel.set_title(title, fontsize=10, loc="left")
    return figure


def _residual_figure(
    study: Study, pages: Sequence[Pixels], restored: dict[float, list[Pixels]]
) -> Figure:
    figure, panels = _strips(len(restored), pages[0])
    image: Any = None
    for panel, (keep, after) in zip(panels, restored.items(), strict=True):
        residual = GAIN * np.abs(pages[0].astype(float) - after[0])
        image = panel.imshow(_strip(residual), cmap="gray_r", vmin=0, vmax=255)
        largest = residual.max() / GAIN
        panel.set_title(
            f"{_percent(keep)} kept: |page - restored| x {GAIN}; largest {largest:.0f} gray levels",
            fontsize=10, loc="left",
        )  # fmt: skip
    figure.colorbar(image, ax=panels, label=f"{GAIN} x difference (gray levels)", shrink=0.9)
    return figure


def _spectrum_figure(
    study: Study, pages: Sequence[Pixels], restored: dict[float, list[Pixels]]
) -> Figure:
    """Spectra above, what each keep ratio changed below."""
    from matplotlib.figure import Figure

    before = np.log1p(mean_magnitude(pages, study.block))
    after = {k: np.log1p(mean_magnitude(done, study.block)) for k, done in restored.items()}
    # The DC is several times everything else and would leave one colour to the rest.
    highest = max(float(np.delete(s.ravel(), 0).max()) for s in (before, *after.values()))
    change = max(float(np.abs(s - before).max()) for s in after.values()) or 1.0
    figure = Figure(figsize=(2.7 * (1 + len(after)) + 1.0, 6.0), layout="constrained")
    panels = figure.subplots(2, 1 + len(after), squeeze=False, sharex=True, sharey=True)
    panels[1, 0].set_visible(False)
    spectra: Any = panels[0, 0].imshow(before, cmap="cividis", vmin=0, vmax=highest)
    panels[0, 0].set_title("100 %: the page as it is", fontsize=10)
    changes: Any = None
    for place, (keep, spectrum) in enumerate(after.items(), start=1):
        panels[0, place].imshow(spectrum, cmap="cividis", vmin=0, vmax=highest)
        panels[0, place].set_title(f"{_percent(keep)} kept", fontsize=10)
        changes = panels[1, place].imshow(
            spectrum - before, cmap="PuOr_r", vmin=-change, vmax=change
        )
        panels[1, place].set_title(f"{_percent(keep)} kept, change", fontsize=10)
        panels[1, place].set_xlabel("horizontal frequency v")
    for panel in panels.ravel():
        panel.grid(visible=False)
    panels[0, 0].set_ylabel("vertical frequency u")
    panels[0, 0].set_xlabel("horizontal frequency v")
    panels[0, 0].tick_params(labelbottom=True)
    panels[1, 1].set_ylabel("vertical frequency u")
    panels[1, 1].tick_params(labelleft=True)
    figure.colorbar(
        spectra, ax=panels[0], extend="max", shrink=0.9, label="log(1 + mean |C|), gray levels"
    )
    figure.colorbar(changes, ax=panels[1], shrink=0.9, label="change of log(1 + mean |C|)")
    return figure


def _percent(keep: float) -> str:
    return f"{100 * keep:g} %"
