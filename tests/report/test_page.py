"""The page in headless Chromium, as a reader uses it."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from report_runs import CONFIG, HOSTILE, PARTS, write_run

from freqexp.answering.storage import kept_bitmaps
from freqexp.benchmarks.samples import load_samples
from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.load import load
from freqexp.nouns.vision import CompressedTokens
from freqexp.report import samples as samples_module
from freqexp.report.build import write_report
from freqexp.report.drawer import Redrawn
from freqexp.report.page import render_page
from freqexp.report.pages import Limits, redraw
from freqexp.schemas.tokens import TokenConfig

ALL = Limits(seconds=math.inf)
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def no_browser(reason: str) -> None:
    message = f"the HTML page is NOT tested: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        no_browser("pip install playwright")
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        no_browser("no Chromium (Debian: apt-get install chromium-headless-shell)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(drawable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three runs; the token run's kept positions are recorded for this page."""
    comparison = compare(load(["three"], str(drawable)))
    return write_report(comparison, tmp_path_factory.mktemp("report"), ALL).folder / "report.html"


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab that fails the test when a script does, or when anything is asked of a network."""
    faults: list[str] = []
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    opened.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:")) else faults.append(request.url)
        ),
    )
    yield opened
    opened.close()
    assert faults == []


def choose(tab: Any, run: str, show: str = "all") -> None:
    value = tab.locator(f"#run option:has-text('{run}')").get_attribute("value")
    tab.select_option("#run", value)
    tab.select_option("#filter", show)
    tab.wait_for_function("document.querySelectorAll('#detail .answers .text').length > 0")


def test_tables_figures_and_the_first_sample_are_there(tab: Any, report: Path) -> None:
    tab.goto(report.as_uri())
    tab.wait_for_selector("#detail canvas")
    assert tab.title() == "freqexp report: three"
    assert tab.locator("table.sortable tbody tr").count() == 3
    assert tab.locator("figure img").count() >= 3
    widths = tab.evaluate("[...document.querySelectorAll('figure img')].map(i => i.naturalWidth)")
    assert min(widths) > 100


def test_tables_sort_by_number(tab: Any, report: Path) -> None:
    tab.goto(report.as_uri())
    head = tab.locator("th:has-text('accuracy') button")
    cells = "[...document.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent)"
    head.click()
    assert tab.evaluate(cells)[0] == "token"
    assert tab.locator("th[aria-sort=ascending]").count() == 1
    head.click()
    assert tab.evaluate(cells)[-1] == "token"


def test_samples_that_flipped_can_be_picked_out(tab: Any, report: Path) -> None:
    tab.goto(report.as_uri())
    choose(tab, "token", "flipped")
    assert tab.inner_text("#count") == "2 of 4 samples"
    assert tab.locator("#list .mark.lost").count() == 2
    tab.fill("#threshold", "0.05")
    assert tab.inner_text("#count") == "0 of 4 samples"
    assert tab.inner_text("#detail") == "No sample matches."
    tab.select_option("#filter", "changed")
    assert tab.inner_text("#count") == "2 of 4 samples"
    tab.select_option("#filter", "all")
    tab.fill("#search", load_samples(CONFIG.needles, 1, 0)[0].sample_id)
    assert tab.inner_text("#count") == "1 of 4 samples"


def test_answers_can_be_picked_out_by_what_they_are(tab: Any, tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0, 1.0])
    more = {**PARTS, "wrong_turn": 4, "wrong_needle": True}
    write_run(tmp_path, "ours", [1.0, 0.6, 0.1, None], TokenConfig(), **more)
    comparison = compare(load([str(tmp_path)]))
    written = write_report(comparison, tmp_path / "r", Limits(0))
    tab.goto((written.folder / "report.html").as_uri())
    seen = tab.locator("figure img").last.get_attribute("alt")
    assert "token keep 0.5 aggressive: 1 exact, 1 near, 1 another turn copied" in seen
    choose(tab, "token")
    shown = dict.fromkeys(("exact", "near", "another turn copied", "elsewhere"))
    for name in shown:
        tab.select_option("#filter", label=name)
        shown[name] = tab.inner_text("#count")
    assert list(shown.values()) == [f"{count} of 4 samples" for count in (1, 1, 1, 0)]
    tab.select_option("#filter", label="another turn copied")
    tab.wait_for_selector("#detail dd:has-text('4, same request')")
    facts = tab.locator("#detail .answers > div").last.locator("dd").all_inner_texts()
    assert {"another turn copied", "0.250", "right (0.200 by chance)"} <= set(facts)


def test_a_sample_shows_question_answers_scores_and_their_difference(
    tab: Any, report: Path
) -> None:
    sample = load_samples(CONFIG.needles, 4, 0)[1]
    tab.goto(f"{report.as_uri()}#run=token000&sample={sample.sample_id}")
    tab.wait_for_selector("#detail canvas")
    detail = tab.inner_text("#detail")
    assert sample.question in detail
    assert f"pre the answer of {sample.sample_id}" in detail
    baseline, ours = tab.locator("#detail .answers > div").all()
    assert "1.000" in baseline.inner_text()
    assert "0.100" in ours.inner_text()
    kept = "".join(
        ours.locator(".text").evaluate(
            "e => [...e.childNodes].filter(n => n.className !== 'extra').map(n => n.textContent)"
        )
    )
    assert kept == f"pre the answer of {sample.sample_id}"
    assert baseline.locator(".missing").count() > 0


def test_hostile_answers_are_text(tab: Any, report: Path) -> None:
    tab.goto(report.as_uri())
    choose(tab, "token")
    tab.wait_for_timeout(200)
    assert tab.title() == "freqexp report: three"
    given = (
        tab.locator("#detail .answers > div")
        .last.locator(".text")
        .evaluate(
            "e => [...e.childNodes].filter(n => n.className !== 'missing').map(n => n.textContent)"
            ".join('')"
        )
    )
    assert given == HOSTILE.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")
    assert tab.locator("#detail img, #detail script").count() == 0


def test_pages_before_after_and_residual(tab: Any, report: Path) -> None:
    tab.goto(report.as_uri())
    choose(tab, "block_dct")
    tab.wait_for_function("document.querySelectorAll('#detail canvas').length === 3")
    captions = tab.locator("#detail figcaption").all_inner_texts()
    assert captions[:2] == ["page", "page after the codec"]
    assert captions[2].startswith("residual × 5 (darker is larger; largest difference ")
    darkest = """number => {
        const canvas = document.querySelectorAll('#detail canvas')[number];
        const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return [canvas.width, canvas.height, Math.min(...all.filter((_, k) => k % 4 === 0))];
    }"""
    before, _, residual = (tab.evaluate(darkest, number) for number in range(3))
    assert before == [336, 336, 0]
    largest = int(re.search(r"difference (\d+) of", captions[2])[1])  # type: ignore[index]
    assert residual[2] == max(0, 255 - 5 * largest) < 255
    tab.locator("#detail .choice button").last.click()
    tab.wait_for_selector("#detail .choice button:last-child[aria-pressed=true]")


def test_dropped_tokens_are_struck_out_on_the_page(
    tab: Any, drawable: Path, tmp_path: Path
) -> None:
    """144 tokens, of which the first row of 12 is kept, as a run records them."""
    page = CompressedTokens(torch.zeros(12, 1), torch.arange(12), (12, 12))
    shutil.copytree(drawable / "runs", tmp_path / "runs")
    path = tmp_path / "runs" / "token000" / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps({**record, "kept": kept_bitmaps([page, page])}) for record in records]
    path.write_text("\n".join(lines) + "\n")
    comparison = compare(load([str(tmp_path)]))
    file = tmp_path / "report.html"
    file.write_text(render_page(comparison, [], tmp_path, redraw(comparison, ALL)))
    tab.goto(file.as_uri())
    choose(tab, "token")
    figure = tab.locator("#detail figure[data-kept]")
    figure.wait_for()
    assert figure.get_attribute("data-kept") == "12"
    assert "kept tokens: 12 of 144" in figure.inner_text()
    colour = """([x, y]) => {
        const canvas = document.querySelector('#detail figure[data-kept] canvas');
        return [...canvas.getContext('2d').getImageData(x, y, 1, 1).data];
    }"""
    kept, dropped = tab.evaluate(colour, [2, 2]), tab.evaluate(colour, [300, 330])
    assert kept[0] == kept[2]
    assert dropped[2] > dropped[0] + 50


def test_kept_tokens_that_were_not_recorded_are_not_made_up(tab: Any, report: Path) -> None:
    tab.goto(report.as_uri())
    choose(tab, "token")
    tab.wait_for_selector("text=Kept tokens: not recorded.")


def test_thousands_of_samples_stay_usable(tab: Any, tmp_path: Path) -> None:
    scores = {f"s{index:05d}": float(index % 3 > 0) for index in range(5_000)}
    write_run(tmp_path, "base", dict.fromkeys(scores, 1.0))
    write_run(tmp_path, "ours", scores, TokenConfig())
    comparison = compare(load([str(tmp_path)]))
    file = tmp_path / "report.html"
    file.write_text(render_page(comparison, [], tmp_path, Redrawn()))
    tab.goto(file.as_uri())
    tab.wait_for_selector("#detail .answers")
    assert tab.inner_text("#count") == "5000 of 5000 samples"
    assert tab.locator("#list .row").count() < 60
    tab.evaluate("document.getElementById('list').scrollTop = 1e9")
    tab.wait_for_selector("#list .row:has-text('s04999')")
    tab.locator("#list .row:has-text('s04999')").click()
    tab.wait_for_selector("#detail h3:has-text('s04999')")
    tab.keyboard.press("Tab")
    tab.locator("#list").press("ArrowUp")
    tab.wait_for_selector("#detail h3:has-text('s04998')")


def test_long_texts_are_cut_until_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(0)
    long = "".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=40_000))
    write_run(tmp_path, "base", [1.0, 1.0, 1.0], answer=long)
    comparison = compare(load([str(tmp_path)]))
    monkeypatch.setattr(samples_module, "TEXT_BYTES", 24_000)
    text = render_page(comparison, [], tmp_path, Redrawn())
    assert "texts in the sample viewer are cut after 8000 characters" in text
    assert len(text) < 80_000
    monkeypatch.setattr(samples_module, "TEXT_BYTES", 1 << 20)
    assert "are cut after 16000 characters" in render_page(comparison, [], tmp_path, Redrawn())


def test_nothing_on_the_page_comes_from_elsewhere(report: Path) -> None:
    text = report.read_text()
    assert re.findall(r"(?:src|href)=\"(?!data:|#)", text) == []
    assert "default-src 'none'" in text
    assert "@import" not in text


def test_a_comparison_without_rows_of_scores(tmp_path: Path) -> None:
    write_run(tmp_path, "ours", [None, None], TokenConfig())
    comparison: Comparison = compare(load([str(tmp_path)]))
    written = write_report(replace(comparison), tmp_path / "r")
    assert (written.folder / "report.html").is_file()
