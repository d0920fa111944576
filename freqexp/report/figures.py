"""The figures of a comparison, as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

from freqexp.comparing.budgets import AXES
from freqexp.comparing.comparison import Comparison
from freqexp.report.budget_figures import budget_figures
from freqexp.report.cache_figures import cache_figures
from freqexp.report.drawing import Drawn, save, style
from freqexp.report.row_figures import difference_figures, miss_figures, mix_figures


def draw_all(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Write every figure that has something to show into `folder`, as <name>.png and <name>.svg.

    Raises UserError when a file cannot be written.
    """
    drawn: list[Drawn] = []
    with style():
        for axis in AXES:
            for number, figure in enumerate(budget_figures(comparison, axis), start=1):
                name = f"accuracy_{axis.name}" + (f"_{number}" if number > 1 else "")
                caption = f"Accuracy against {axis.title} ({axis.unit})"
                drawn.append(save(figure, folder, Drawn(name, caption)))
        for number, figure in enumerate(difference_figures(comparison), start=1):
            name = "differences" + (f"_{number}" if number > 1 else "")
            caption = "Difference to the uncompressed run on the same samples (95 % interval)"
            drawn.append(save(figure, folder, Drawn(name, caption)))
        for number, figure in enumerate(miss_figures(comparison), start=1):
            name = "prefix_misses" + (f"_{number}" if number > 1 else "")
            caption = "Answers without the required prefix (95 % interval)"
            drawn.append(save(figure, folder, Drawn(name, caption)))
        for number, (figure, text) in enumerate(mix_figures(comparison), start=1):
            name = "mix" + (f"_{number}" if number > 1 else "")
            drawn.append(save(figure, folder, Drawn(name, "What the answers are", text)))
        for number, (figure, text) in enumerate(cache_figures(comparison), start=1):
            name = "kv_components" + (f"_{number}" if number > 1 else "")
            caption = "What the KV cache held, by component"
            drawn.append(save(figure, folder, Drawn(name, caption, text)))
    return drawn
