from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from report_runs import PARTS, write_run

from freqexp.comparing.budgets import AXES
from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.load import load
from freqexp.errors import UserError
from freqexp.report.budget_figures import budget_figures
from freqexp.report.drawing import looks, style
from freqexp.report.figures import draw_all
from freqexp.report.row_figures import mix_figures
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.tokens import TokenConfig


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    """Seven runs that lie close together, one of them with a name to stumble over."""
    write_run(tmp_path, "base", [1.0, 1.0, 0.0])
    for index in range(6):
        method = TokenConfig() if index % 2 else BlockDctConfig(block=7 + index)
        tokens = 140 + index // 2
        write_run(
            tmp_path,
            f"r{index}",
            [1.0, 0.2, 0.1 * index],
            method,
            keep_ratio=0.3 + index / 10,
            decoder_tokens=tokens,
            kv_cache_bytes=9216 * tokens,
        )
    return compare(load([str(tmp_path)]))


def test_every_figure_is_a_png_and_an_svg_and_the_same_each_time(
    comparison: Comparison, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        drawn = draw_all(comparison, folder)
    assert [figure.name for figure in drawn] == [
        "accuracy_decoder_tokens",
        "accuracy_kv_cache_bytes",
        "accuracy_total_ms",
        "differences",
        "prefix_misses",
    ]
    for figure in drawn:
        for ending in ("png", "svg"):
            first, second = ((f / f"{figure.name}.{ending}").read_bytes() for f in folders)
            assert first == second
        assert (folders[0] / f"{figure.name}.png").read_bytes().startswith(b"\x89PNG")


def test_bars_of_what_the_answers_are(comparison: Comparison, tmp_path: Path) -> None:
    assert list(mix_figures(comparison)) == []
    write_run(tmp_path / "new", "base", [1.0, 0.0, 0.3, 0.3])
    write_run(tmp_path / "new", "ours", [1.0, 0.6, 0.1, 0.2, None], TokenConfig(), **PARTS)
    found = compare(load([str(tmp_path / "new")]))
    with style():
        ((figure, text),) = mix_figures(found)
        figure.draw_without_rendering()
        renderer = FigureCanvasAgg(figure).get_renderer()
    assert text == (
        "none: 1 exact, 1 prefix missed, 2 not recorded; "
        "token keep 0.5 aggressive: 1 exact, 1 near, 2 derailed after the right start"
    )
    (panel,), (legend,) = figure.axes, figure.legends
    names = [entry.get_text() for entry in legend.get_texts()]
    assert names == [
        "exact",
        "near",
        "derailed after the right start",
        "prefix missed",
        "not recorded",
    ]
    for place in (0, 1):
        bars = [
            bar for bar in panel.patches if bar.get_y() < place < bar.get_y() + bar.get_height()
        ]
        assert sum(bar.get_width() for bar in bars) == pytest.approx(1)
        assert max(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(1)
    for bar, other in itertools.combinations([bars[0] for bars in panel.containers], 2):
        look = (bar.get_facecolor(), bar.get_hatch())
        assert look != (other.get_facecolor(), other.get_hatch())
    below = panel.xaxis.label.get_window_extent(renderer)
    assert not legend.get_window_extent(renderer).overlaps(below)


def test_nothing_written_on_a_figure_overlaps(comparison: Comparison) -> None:
    with style():
        (figure,) = budget_figures(comparison, AXES[1])
        renderer = FigureCanvasAgg(figure).get_renderer()
        (panel,) = figure.axes
        boxes = [text.get_window_extent(renderer) for text in panel.texts]
        assert len(boxes) >= 3
        for place, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:place])
            assert panel.get_window_extent().overlaps(box)
        ticks = [label.get_window_extent(renderer) for label in panel.get_xticklabels()]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(ticks))
        axis_label = panel.xaxis.label.get_window_extent(renderer)
        assert not panel.get_legend().get_window_extent(renderer).overlaps(axis_label)


def test_a_logarithmic_axis_has_plain_numbers(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0], decode_ms=100.0)
    write_run(tmp_path, "slow", [1.0, 0.0], TokenConfig(), decode_ms=9_000.0)
    with style():
        (figure,) = budget_figures(compare(load([str(tmp_path)])), AXES[3])
        figure.draw_without_rendering()
        (panel,) = figure.axes
        assert panel.get_xscale() == "log"
        shown = [float(label.get_text()) for label in panel.get_xticklabels() if label.get_text()]
    assert {500.0, 1_000.0, 5_000.0} <= set(shown)


def test_axes_carry_units_and_methods_their_own_markers(comparison: Comparison) -> None:
    with style():
        for axis in AXES[1:4]:  # those that these runs have
            (figure,) = budget_figures(comparison, axis)
            assert axis.unit in figure.axes[0].get_xlabel()
    found = looks(comparison)
    assert len({marker for _, marker in found.values()}) == len(found) == 2
    assert len({colour for colour, _ in found.values()}) == 2


def test_the_caller_s_settings_come_back(comparison: Comparison) -> None:
    before = dict(matplotlib.rcParams)
    with pytest.raises(RuntimeError), style():
        raise RuntimeError
    assert dict(matplotlib.rcParams) == before


def test_dollar_signs_in_names_are_no_mathematics(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "base", [1.0, 1.0])
    summary = (folder / "summary.json").read_text().replace('"fake"', '"$\\\\frac{$"')
    (folder / "summary.json").write_text(summary)
    write_run(tmp_path, "ours", [1.0, 0.0], TokenConfig())
    found = compare(load([str(tmp_path)]))
    assert draw_all(found, tmp_path)


def test_a_folder_that_is_not_there(comparison: Comparison, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        draw_all(comparison, tmp_path / "none")
