"""The pretrained line reader on pages of our renderers."""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from freqexp import run
from freqexp.answering.cache import pixels_key
from freqexp.benchmarks.generate import generate
from freqexp.benchmarks.legibility import character_error_rate
from freqexp.benchmarks.mrcr import grade
from freqexp.composing.compose import compose
from freqexp.errors import DONE, ConfigError, UserError
from freqexp.memory.geometry import NoGeometryError, geometry_of
from freqexp.nouns.page import Page, Pixels, scaled_lines
from freqexp.nouns.sample import Sample
from freqexp.nouns.vision import CompressedTokens, keep_all
from freqexp.pages.cells import CellsRenderer
from freqexp.pages.glyph import GlyphRenderer
from freqexp.readers.base import Answer
from freqexp.readers.bundled import weights_hash
from freqexp.readers.load import load_reader
from freqexp.readers.recogniser.graph import TOKENS, split
from freqexp.readers.recogniser.lines import HEIGHT, line_input, model_path, runtime
from freqexp.readers.recogniser.ppocr import CHANNELS, PpocrReader, line_columns
from freqexp.tokens.dct import TokenDct

QUIET = ("model=ppocr", "tracking=off")
CELLS = CellsRenderer(24, 12, 14, 28, 23.25)


@pytest.fixture(scope="module")
def reader() -> PpocrReader:
    torch.set_num_threads(1)
    loaded = load_reader(compose(QUIET).model)
    assert isinstance(loaded, PpocrReader)
    return loaded


@pytest.fixture(scope="module")
def sample() -> Sample:
    return generate(2, 1, 0, "short")[0]


@pytest.fixture(scope="module")
def pages(sample: Sample) -> list[Page]:
    return CELLS.render(sample.turns)


@pytest.fixture(scope="module")
def vision(reader: PpocrReader, pages: list[Page]) -> list[CompressedTokens]:
    return [keep_all(page) for page in encode(reader, pages)]


def encode(reader: PpocrReader, pages: Sequence[Page]) -> Any:
    return reader.encode_lines([page.pixels for page in pages], [page.lines for page in pages])


def rate(pages: Sequence[Page], answer: Answer) -> float:
    assert answer.transcript is not None
    found = character_error_rate([page.text for page in pages], answer.transcript)
    assert found is not None
    return found


def test_clean_pages_are_read_and_the_turn_is_found(
    reader: PpocrReader, sample: Sample, pages: list[Page], vision: list[CompressedTokens]
) -> None:
    answer = reader.answer(sample.question, vision)
    assert rate(pages, answer) < 0.01
    assert grade(answer.text, sample).score > 0.99
    assert not answer.truncated
    assert answer.kv_cache_bytes is None
    assert answer.cache_tokens == ()
    assert answer.raw_text == "\n".join(answer.transcript or ())


def test_proportional_type_is_read(reader: PpocrReader, sample: Sample) -> None:
    pages = GlyphRenderer(width=300, font_pt=14, line_height_pt=16).render(sample.turns[:2])
    glyph = PpocrReader(model_path().read_bytes(), GlyphRenderer.marks)
    answer = glyph.answer(
        f"Prepend abc to the 1st (1 indexed) {sample.turns[1].user}. "
        "Do not include any other text in your response.",
        [keep_all(page) for page in encode(reader, pages)],
    )
    assert rate(pages, answer) < 0.01
    assert answer.text == "abc" + sample.turns[1].assistant


def test_a_page_is_a_grid_of_its_lines(pages: list[Page], vision: list[CompressedTokens]) -> None:
    for page, tokens in zip(pages, vision, strict=True):
        assert tokens.grid == (len(page.lines), 336 * HEIGHT // (28 * 8))
        assert tokens.features.shape == (tokens.grid[0] * tokens.grid[1], CHANNELS)
        assert tokens.features.dtype == torch.float32


def test_the_halves_are_the_whole_network(pages: list[Page]) -> None:
    model = model_path().read_bytes()
    whole, encoder, head = (runtime(part, 1) for part in (model, *split(model)))
    pixels = line_input(pages[0].pixels[:28])
    tokens = encoder.run(None, {"x": pixels})[0]
    assert tokens.shape == (1, CHANNELS, 1, pixels.shape[3] // 8)
    np.testing.assert_allclose(
        head.run(None, {TOKENS: tokens})[0], whole.run(None, {"x": pixels})[0], atol=1e-5
    )


@pytest.mark.parametrize("scale", [0.75, 1.3])
def test_lines_are_found_on_pages_of_another_size(
    scale: float, reader: PpocrReader, sample: Sample, pages: list[Page]
) -> None:
    resized = []
    for page in pages:
        side = round(page.pixels.shape[0] * scale)
        pixels = np.asarray(Image.fromarray(page.pixels).resize((side, side)))
        lines = scaled_lines(page.lines, side / page.pixels.shape[0])
        resized.append(Page(pixels, page.text, lines))
    answer = reader.answer(sample.question, [keep_all(page) for page in encode(reader, resized)])
    assert rate(pages, answer) < 0.01


def test_colour_is_read(reader: PpocrReader, sample: Sample, pages: list[Page]) -> None:
    ink = np.repeat(pages[0].pixels[..., np.newaxis], 3, axis=2)
    blue = np.maximum(ink, np.array([0, 0, 120], dtype=np.uint8))
    page = Page(blue, pages[0].text, pages[0].lines)
    answer = reader.answer(sample.question, [keep_all(t) for t in encode(reader, [page])])
    assert rate([page], answer) < 0.01


def test_dropped_tokens_leave_the_sequence(
    reader: PpocrReader,
    sample: Sample,
    pages: list[Page],
    vision: list[CompressedTokens],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    read = reader._read

    def watched(tokens: Any) -> Any:
        seen.append(len(tokens))
        return read(tokens)

    monkeypatch.setattr(reader, "_read", watched)
    method = TokenDct(0.5, transform=False, quantize=False)
    half = [method.compress(tokens) for tokens in encode(reader, pages)]
    answer = reader.answer(sample.question, half)
    whole = sum(len(page.kept) for page in vision)
    assert answer.vision_tokens_in == whole
    assert answer.vision_tokens_out == answer.decoder_tokens == sum(seen) == -(-whole // 2)
    assert rate(pages, answer) < 0.05
    assert grade(answer.text, sample).score > 0.9


def test_a_line_without_tokens_is_empty(
    reader: PpocrReader, sample: Sample, vision: list[CompressedTokens]
) -> None:
    columns = vision[0].grid[1]
    rest = CompressedTokens(
        vision[0].features[2 * columns :], vision[0].kept[2 * columns :], vision[0].grid
    )
    answer = reader.answer(sample.question, [rest])
    assert answer.transcript is not None
    whole = reader.answer(sample.question, vision[:1]).transcript or ("",)
    assert answer.transcript[0].split("\n") == ["", "", *whole[0].split("\n")[2:]]


def test_without_such_a_turn_the_answer_is_the_prefix(
    reader: PpocrReader, vision: list[CompressedTokens]
) -> None:
    answer = reader.answer(
        "Prepend abc to the 9th (1 indexed) ode to joy. "
        "Do not include any other text in your response.",
        vision,
    )
    assert answer.text == "abc"


def test_what_cannot_be_read_is_refused(
    reader: PpocrReader, sample: Sample, pages: list[Page], vision: list[CompressedTokens]
) -> None:
    pixels = [pages[0].pixels]
    with pytest.raises(UserError, match=r"^page 1: lines: got \(\), allowed: the places"):
        reader.encode(pixels)
    with pytest.raises(UserError, match="got no pages"):
        reader.encode([])
    with pytest.raises(UserError, match="got no pages"):
        reader.answer(sample.question, [])
    with pytest.raises(UserError, match=r"^page 1: width: got 336, allowed: 4096 tokens a line"):
        reader.encode_lines(pixels, [((0, 0.4),)])
    with pytest.raises(UserError, match=r"^question: got 'Why\?', allowed: MRCR's"):
        reader.answer("Why?", vision)
    page = vision[0]
    wrong = CompressedTokens(page.features, page.kept, (1, 5))
    with pytest.raises(UserError, match="positions on its 1 x 5 grid"):
        reader.answer(sample.question, [wrong])
    narrow = CompressedTokens(page.features[:, :8], page.kept, page.grid)
    with pytest.raises(UserError, match="got features"):
        reader.answer(sample.question, [narrow])


def test_a_line_cut_off_by_the_page_is_white(reader: PpocrReader, pages: list[Page]) -> None:
    page: Pixels = pages[0].pixels[:28]
    (tokens,) = reader.encode_lines([page], [((0.0, 28.0), (28.0, 28.0))])
    assert tokens.grid == (2, line_columns(page, ((0, 28),)))
    assert torch.isfinite(tokens.features).all()


def test_places_of_lines_are_part_of_what_an_encoding_depends_on(pages: list[Page]) -> None:
    pixels = [pages[0].pixels]
    keys = {pixels_key(pixels), *(pixels_key(pixels, [page.lines]) for page in pages)}
    assert len(keys) == 1 + len({page.lines for page in pages})


def test_the_weights_are_the_installed_file() -> None:
    model = compose(QUIET).model
    found = weights_hash(model)
    assert found != weights_hash(compose(["tracking=off"]).model)
    data = model_path().read_bytes()
    digest = hashlib.sha256(f"{model_path().name}\0{len(data)}\0".encode())
    digest.update(hashlib.sha256(data).digest())
    assert found == digest.hexdigest()
    with pytest.raises(NoGeometryError, match="ppocr"):
        geometry_of(model)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def without_runtime(name: str, *rest: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_runtime)
    with pytest.raises(UserError, match=r"pip install 'freqexp\[ocr\]'"):
        load_reader(compose(QUIET).model)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'freqexp\[ocr\]'"):
        weights_hash(compose(QUIET).model)


def test_another_recogniser_is_refused(reader: PpocrReader) -> None:
    encoder, _ = split(model_path().read_bytes())
    assert split(encoder)[0]
    with pytest.raises(UserError, match="no tensor"):
        split(b"")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("model.path=somewhere", "model.path"),
        ("model.revision=main", "model.revision"),
        ("model.dtype=bfloat16", "model.dtype"),
        ("model.device=cuda", "model.device"),
        ("model.trust_remote_code=true", "model.trust_remote_code"),
    ],
)
def test_what_this_reader_does_not_have_is_refused(change: str, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}: got .* ppocr"):
        compose([*QUIET, change])


def test_a_run_has_error_rates_and_no_cache(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*QUIET, "compressor=block_dct", "keep_ratio=0.1", "samples=1", "cluster.threads=1"]
    monkeypatch.setattr(sys, "argv", ["run", *arguments, f"output_dir={tmp_path}"])
    assert run.main() == DONE
    table = capsys.readouterr().out
    assert "CER %" in table
    assert "It measures legibility" in table
    found = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/summary.json")]
    summaries = {summary["compressor"]: summary for summary in found}
    clean, damaged = summaries["none"], summaries["block_dct"]
    assert clean["accuracy"] > 0.99
    assert clean["character_error_rate"] < 0.01
    assert damaged["character_error_rate"] > clean["character_error_rate"]
    for summary in found:
        assert summary["kv_cache_bytes"] is None
        assert summary["decoder_tokens"] == summary["vision_tokens_in"] > 0
        assert summary["model"] == "ppocr"
        assert summary["simulated"] is not True
