"""A decoder written from docs/bitstreams.md alone gives the same pixels and features as ours."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import stranger
import stranger_base
import stranger_images
import stranger_tokens
import torch
from torch import Tensor

from bench.codec_texts import FRENCH, prose
from freqexp.codecs.avif import Avif
from freqexp.codecs.base import Codec, decode
from freqexp.codecs.block_copy.codec import BlockCopy
from freqexp.codecs.block_dct import BlockDct
from freqexp.codecs.block_vq.codebook import DEFAULT
from freqexp.codecs.block_vq.codec import BlockVq
from freqexp.codecs.downsample import Downsample
from freqexp.codecs.jb2 import Jb2
from freqexp.codecs.jbig1 import Jbig1
from freqexp.codecs.jpeg import Jpeg
from freqexp.codecs.jpeg2000 import Jpeg2000
from freqexp.codecs.jxl import Jxl
from freqexp.codecs.jxl_lossless import JxlLossless
from freqexp.codecs.png import Png
from freqexp.codecs.posterize import Posterize
from freqexp.codecs.strips import Strips
from freqexp.codecs.symbols.codec import Symbols
from freqexp.codecs.symbols.priors import BUNDLED, FOLDER, load_prior
from freqexp.codecs.two_levels import TwoLevelCodec
from freqexp.codecs.webp import Webp
from freqexp.codecs.webp_lossless import WebpLossless
from freqexp.coding.bitstream import Bitstream, unpack
from freqexp.coding.ppm import compress
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.pages.glyph import GlyphRenderer, default_font_path
from freqexp.tokens import bitstream as token_bitstream
from freqexp.tokens.dct import TokenDct
from freqexp.tokens.random_prune import RandomPrune
from freqexp.tokens.token_vq import TokenVq
from freqexp.tokens.trained import page_codes
from freqexp.tokens.trained.settings import VqSettings

HELPERS = Path(stranger.__file__).parent
STRANGERS = sorted(HELPERS.glob("stranger*.py"))
ALLOWED = {"numpy", "brotli", "pyppmd", "imagecodecs", "PIL"}
TEXT = "The lamps lean out over\nthe water, and the water\nleans back: so they meet\nhalfway."


def text_page(text: str = TEXT, font_px: int = 14) -> Pixels:
    """Gray letters, about 190 x 70."""
    glyph = GlyphRenderer(
        width=190, height=4 * font_px + 14, font_pt=font_px, line_height_pt=font_px + 2, crop=False
    )
    pixels = glyph.render_text(text)[0].pixels
    return np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels[:, :, 0])


@pytest.fixture(scope="module")
def page() -> Pixels:
    return text_page()


def in_colour(page: Pixels) -> Pixels:
    """Three channels of which no two are equal."""
    colour = np.stack([page, page // 2 + 60, 255 - page], axis=2)
    colour[:20, :, 2] = 90
    return colour


def noisy(page: Pixels) -> Pixels:
    """A gray page as a camera may see it: blurred, with less contrast and noise."""
    soft = page.astype(float)
    for axis in (0, 1):
        beside = [np.roll(soft, step, axis) for step in (-1, 1)]
        soft = (2 * soft + beside[0] + beside[1]) / 4
    noise = np.random.default_rng(0).normal(0, 3, page.shape)
    return np.clip(np.rint(40 + 0.75 * soft + noise), 0, 255).astype(np.uint8)


def test_the_stranger_knows_nothing_of_ours() -> None:
    assert len(STRANGERS) == 7
    ours = {path.stem for path in STRANGERS}
    for path in STRANGERS:
        for node in ast.walk(ast.parse(path.read_text())):
            names: Sequence[str] = ()
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level
                names = [node.module or ""]
            elif isinstance(node, ast.Name):
                assert node.id not in ("__import__", "exec", "eval"), path
            for name in names:
                root = name.partition(".")[0]
                assert root in sys.stdlib_module_names | ALLOWED | ours, f"{path}: {name}"
                assert root not in ("importlib", "runpy", "subprocess")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "codec",
    [
        BlockDct(14, 0.1),
        BlockDct(8, 0.3, "block", step=20),
        BlockDct(14, 1.0, fit="resize"),
        BlockDct(1, 0.5, step=3),
        BlockDct(33, 0.01, step=255),
    ],
)
def test_block_dct(page: Pixels, codec: BlockDct, channels: int) -> None:
    given = page[10:47, 20:80]
    same(codec, given if channels == 1 else in_colour(given))


def same(codec: Codec, page: Pixels, files: dict[bytes, bytes] | None = None) -> Bitstream:
    """Encode a page, compare both decoders, and return the container."""
    data = codec.encode(page)
    found = stranger.decode(data, files)
    assert found.dtype == np.uint8
    assert np.array_equal(found, decode(data))
    return unpack(data)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [2, 16, 256])
def test_symbols_and_strips(page: Pixels, levels: int, channels: int) -> None:
    given = page
    if channels == 3:
        given = np.repeat(page[..., None], 3, axis=2)
        given[50:56, 8:40, 0] = 100
    stream = same(Symbols(levels=levels, priors=()), given)
    assert stream.parameters[0] == 0
    same(Strips(levels=levels, coder="ppmd"), given)
    same(Strips(levels=levels, coder="xz"), given[5:])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [2, 16, 256])
def test_symbols_with_a_prior(tmp_path: Path, page: Pixels, levels: int, channels: int) -> None:
    examples = np.concatenate(
        [text_page(TEXT[start:] + "\n" + TEXT[:start]) for start in (0, 24, 49, 74)]
    )
    data = Strips(levels=256).encode(examples)
    path = tmp_path / "examples.fqxp"
    path.write_bytes(data)
    prior = load_prior(path)
    given = page if channels == 1 else np.repeat(page[..., None], 3, axis=2)
    given = given.copy()
    given[50:56, 8:14] = 100
    stream = same(Symbols(levels=levels, priors=(prior,)), given, {prior.name: data})
    assert prior.name in stream.parameters
    assert prior.name == hashlib.sha256(data).digest()[:4]


def test_symbols_with_the_prior_of_the_package() -> None:
    file, name = BUNDLED[-1]
    codec = Symbols(levels=2, priors=(load_prior(FOLDER / file),))
    # The prior's own first lines.
    given = load_prior(FOLDER / file).page[:300]
    stream = same(codec, given, {bytes.fromhex(name): (FOLDER / file).read_bytes()})
    assert bytes.fromhex(name) in stream.parameters


def test_symbols_far_apart_and_of_many_numbers() -> None:
    """Steps, gaps and numbers of every length that they are written in."""
    page = np.full((1400, 600), 255, dtype=np.uint8)
    for again in range(2):
        for number in range(2100):
            row, column = divmod(number, 14)
            top, left = 4 * row + 800 * again, 40 * column + number * (1 + again) % 30
            page[top, left], page[top + 1, left] = number % 50, number // 50
    stream = same(Symbols(levels=256, priors=()), page)
    assert stream.parameters[0] == 0


LINES_THAT_TOUCH = "Où l\u2019été À Ėģ\n\u0178ķğ Çe qu\u2019É\nŠģ Ñ Ũą Ėģ À\nģÈ Ŷ été"


@pytest.mark.parametrize("levels", [4, 256])
def test_symbols_of_lines_that_touch(tmp_path: Path, levels: int) -> None:
    """Cells of a page overlap; those of a prior are of runs of rows, whatever a page's are."""
    glyph = GlyphRenderer(width=150, height=66, font_pt=14, line_height_pt=13, crop=False)
    given = np.ascontiguousarray(glyph.render_text(LINES_THAT_TOUCH)[0].pixels)
    assert (given[10:50] < 128).any(axis=1).all()
    assert same(Symbols(levels=levels, priors=()), given).parameters[0] == 0
    data = Strips(levels=256).encode(np.concatenate([given, text_page()[:, :150]]))
    path = tmp_path / "touching.fqxp"
    path.write_bytes(data)
    prior = load_prior(path)
    stream = same(Symbols(levels=levels, priors=(prior,)), given, {prior.name: data})
    assert prior.name in stream.parameters


def test_symbols_as_strips() -> None:
    font = default_font_path().with_name("DejaVuSerif.ttf")
    glyph = GlyphRenderer(
        width=120, height=70, font_pt=14, line_height_pt=16, crop=False, font_path=str(font)
    )
    accents = glyph.render_text(prose("accents", (FRENCH,), 300))[0].pixels
    rng = np.random.default_rng(0)
    specks = np.where(rng.random((40, 60, 3)) < 0.1, rng.integers(0, 255, (40, 60, 3)), 255)
    for given in (np.ascontiguousarray(accents), specks.astype(np.uint8)):
        for levels in (4, 16):
            assert same(Symbols(levels=levels), given).parameters[0] == 2


def test_symbols_as_a_picture() -> None:
    slope = np.add.outer(np.arange(60), np.arange(80)).astype(np.uint8)
    for given in (slope, np.stack([slope, slope // 2, 255 - slope], axis=2)):
        assert same(Symbols(levels=256), given).parameters[0] == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_symbols_as_copies(page: Pixels, channels: int) -> None:
    given = noisy(page) if channels == 1 else in_colour(noisy(page))
    stream = same(Symbols(levels=16, priors=()), given)
    assert stream.parameters[0] == 3
    assert stream.parameters[2] == channels


@pytest.mark.parametrize("order", [3, 8, 16])
def test_ppm_with_something_known(order: int) -> None:
    rng = np.random.default_rng(order)
    for before in (b"", b"a", b"ab", b"that is known " * 30, rng.bytes(500)):
        for data in (b"", b"a", b"that is known, too", rng.bytes(300), bytes(50)):
            coded = compress(data, order, before)
            assert stranger_base.ppm(coded, len(data), order, before) == data


@pytest.mark.parametrize("channels", [1, 3])
def test_image_files(page: Pixels, channels: int) -> None:
    given = page if channels == 1 else in_colour(page)
    codecs: list[Codec] = [Png(), WebpLossless(), JxlLossless(), Jpeg(), Webp(), Avif(), Jxl()]
    codecs += [Jpeg2000(), Posterize(levels=5), Downsample(0.3), Downsample(0.3, restore_size=True)]
    for codec in codecs:
        same(codec, given)


@pytest.mark.parametrize(
    ("codec", "file_of", "command"),
    [
        (Jb2, stranger_images.djvu, ["ddjvu", "-format=pbm", "-", "-"]),
        (Jbig1, stranger_images.jbig, ["jbgtopbm", "-"]),
    ],
)
def test_files_of_two_levels(
    page: Pixels,
    codec: type[TwoLevelCodec],
    file_of: Callable[[stranger_base.Page], bytes],
    command: list[str],
) -> None:
    if codec.program_faults(""):
        pytest.skip("the programs are not installed")
    for given in (page, in_colour(page)):
        data = codec().encode(given)
        file = file_of(stranger.container(data))
        pbm = subprocess.run(command, input=file, capture_output=True, check=True).stdout
        wanted = decode(data)
        height, width = wanted.shape[:2]
        # A PBM file ends with its rows of whole bytes.
        rows = np.frombuffer(pbm[-height * -(-width // 8) :], np.uint8).reshape(height, -1)
        gray = np.where(np.unpackbits(rows, axis=1, count=width), 0, 255)
        assert np.array_equal(wanted if wanted.ndim == 2 else wanted[..., 1], gray)


def test_block_vq(page: Pixels) -> None:
    data = DEFAULT.read_bytes()
    files = {hashlib.sha256(data).digest()[:8]: data}
    words = GlyphRenderer(width=120, height=70, font_pt=14, line_height_pt=16, crop=False)
    text = words.render_text("The lamps\nlean out over\nthe water")[0].pixels
    stream = same(BlockVq(0.3), text, files)
    assert next(iter(files)) in stream.parameters
    same(BlockVq(0.01, codebook=False), in_colour(page[:30, :90]))


@pytest.mark.parametrize("step", [10, 60])
def test_block_copy(page: Pixels, step: int) -> None:
    codec, given = BlockCopy(keep_ratio=0.5, step=step), noisy(page)[:62, :150]
    same(codec, given)
    assert same(codec, in_colour(given)).parameters[1] == 3
    assert same(codec, np.repeat(given[:20, :, None], 3, axis=2)).parameters[1] == 1
    # One column of blocks, of more rows than a source may be above.
    assert any(same(codec, np.tile(given[:, 40:47], (17, 1))).sections[4:])
    assert not any(same(codec, np.full((30, 41), 255, dtype=np.uint8)).sections[4:])


def tokens(dtype: torch.dtype, grid: tuple[int, int], channels: int, seed: int = 0) -> VisionTokens:
    generator = torch.Generator().manual_seed(seed)
    count = grid[0] * grid[1]
    features = torch.randn(count, channels, generator=generator, dtype=torch.float64)
    return VisionTokens((features + torch.arange(channels)).to(dtype), grid)


def same_tokens(found: tuple[list[int], stranger.Pixels], result: CompressedTokens) -> None:
    assert found[0] == result.kept.tolist()
    wanted: Tensor = result.features.double()
    if result.features.dtype is torch.float64:
        assert np.allclose(found[1], wanted.numpy(), rtol=0, atol=1e-12)
    else:
        assert np.array_equal(found[1], wanted.numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(
    ("bits", "edges", "scale"),
    [
        ((8, 4, 0), (4.0, 8.0), "channel"),
        ((12, 2, 1), (2.5, 6.4), "tensor"),
        ((0, 0, 0), (1.0, 2.0), "channel"),
        ((16, 9, 1), (0.0, 100.0), "channel"),
        ((3, 8, 5), (13**0.5, 13**0.5), "tensor"),
    ],
)
def test_tokens_of_coefficients(
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    bits: tuple[int, int, int],
    edges: tuple[float, float],
    scale: str,
) -> None:
    given = tokens(dtype, (7, 9), 5)
    data = written(monkeypatch, token_bitstream)
    for keep_ratio in (0.4, 1.0):
        result = TokenDct(keep_ratio, bits, edges, scale=scale).compress(given)
        assert len(data[-1]) == result.stored_bytes
        same_tokens(stranger_tokens.decode_tokens(data[-1]), result)


def written(monkeypatch: pytest.MonkeyPatch, module: object) -> list[bytes]:
    """What `pack` of a module gives from now on."""
    found: list[bytes] = []
    pack = module.pack  # type: ignore[attr-defined]

    def recorded(*given: object) -> object:
        result = pack(*given)
        found.append(result if isinstance(result, bytes) else result[0])
        return result

    monkeypatch.setattr(module, "pack", recorded)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_tokens_as_they_are(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    data = written(monkeypatch, token_bitstream)
    result = RandomPrune(0.3).compress(tokens(dtype, (5, 4), 6))
    same_tokens(stranger_tokens.decode_tokens(data[-1]), result)


@pytest.mark.parametrize("domain", ["token", "dct"])
@pytest.mark.parametrize("shared", [False, True])
def test_tokens_of_codes(monkeypatch: pytest.MonkeyPatch, shared: bool, domain: str) -> None:
    data = written(monkeypatch, page_codes)
    settings = VqSettings(codes=8, books=2, kind="residual", domain=domain, edge_low=2, edge_mid=4)
    method, given = TokenVq(settings), tokens(torch.float32, (6, 7), 4)
    codebook = b""
    if shared:
        method.start([given, tokens(torch.float32, (6, 7), 4, seed=1)])
        codebook = method._coded(method._made_for(given), given).codes.data
    result = method.compress(given)
    same_tokens(stranger_tokens.decode_tokens(data[-1], codebook), result)
