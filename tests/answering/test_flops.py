"""Counted operations against formulas by hand, and where they stand."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from run_fakes import Counting

from freqexp.answering.flops import Flops, counted, parabola
from freqexp.answering.pipeline import Pipeline
from freqexp.answering.session import Session
from freqexp.composing.compose import compose
from freqexp.results.record import Record

# The bundled reader: layers, width, width of the feed-forward; of its encoder also patches of a
# page and tokens of it.
LAYERS, WIDTH, HIDDEN = 6, 192, 512
BLOCKS, ENCODER, INNER, PATCHES, TOKENS = 2, 128, 192, 24 * 24, 12 * 12


def decoder(length: int) -> int:
    """A layer: four projections and three of the feed-forward; scores and their sum of values."""
    linear = 2 * length * (4 * WIDTH**2 + 3 * WIDTH * HIDDEN)
    return LAYERS * (linear + 2 * 2 * length**2 * WIDTH)


def encoder() -> int:
    patches = 2 * PATCHES * ENCODER * (3 * 2 * 14 * 14)
    linear = 2 * PATCHES * (4 * ENCODER**2 + 3 * ENCODER * INNER)
    attention = 2 * 2 * PATCHES**2 * ENCODER
    merging = 2 * TOKENS * WIDTH * (4 * ENCODER)
    merger = 2 * TOKENS * (WIDTH**2 + 3 * WIDTH * (2 * WIDTH))
    return patches + BLOCKS * (linear + attention) + merging + merger


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def record(session: Session, *overrides: str) -> Record:
    cfg = compose([*overrides, "samples=1", "tracking=off", "model.max_new_tokens=2"])
    ((found, _),) = Pipeline(cfg, session).run(session.samples(cfg)[:1])
    assert found.error is None
    return found


def test_the_bundled_reader_takes_what_its_shapes_say(session: Session) -> None:
    base = record(session, "compressor=none")
    assert base.decoder_tokens is not None
    assert base.pages is not None
    assert base.prefill_flops == decoder(base.decoder_tokens)
    assert base.encode_flops == base.pages * encoder()
    assert base.compress_flops is None


def test_fewer_tokens_take_less_and_a_compressor_counts(session: Session) -> None:
    ours = record(session, "compressor=token", "keep_ratio=0.5")
    assert ours.decoder_tokens is not None
    assert ours.prefill_flops == decoder(ours.decoder_tokens)
    # The DCT over rows and over columns of each page's grid, and back.
    assert ours.compress_flops
    assert record(session, "compressor=random_prune").compress_flops == 0
    assert record(session, "compressor=jpeg").compress_flops is None


def test_inside_the_decoder_each_layer_counts_what_it_saw(session: Session) -> None:
    ours = record(session, "compressor=fastv", "compressor.layer=2", "keep_ratio=0.5")
    assert ours.cache_tokens_max is not None
    assert ours.cache_tokens_min is not None
    full, few = decoder(ours.cache_tokens_max), decoder(ours.cache_tokens_min)
    assert ours.prefill_flops == round(Fraction(2 * full + 4 * few, LAYERS))


def test_a_cache_compressed_between_two_passes_is_not_counted(session: Session) -> None:
    seen = record(session, "compressor=snapkv", "compressor.question=seen")
    unseen = record(session, "compressor=snapkv", "compressor.question=unseen")
    assert seen.decoder_tokens is not None
    assert seen.prefill_flops == decoder(seen.decoder_tokens)
    assert unseen.prefill_flops is None
    assert unseen.encode_flops == seen.encode_flops


@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_text_goes_through_the_decoder_alone(keep: float) -> None:
    """In a session of its own: here the decoder is counted on text, elsewhere on pages."""
    chosen = ("model.input=text", "compressor=truncate", f"keep_ratio={keep}")
    ours = record(Session(), *chosen)
    assert ours.decoder_tokens is not None
    assert ours.text_tokens is not None
    assert ours.encode_flops == 0
    assert ours.prefill_flops == decoder(ours.decoder_tokens)
    assert ours.compress_flops is None


def test_every_shape_is_counted_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def count(work: Any) -> int | None:
        calls.append(1)
        return counted(work)

    monkeypatch.setattr("freqexp.answering.flops.counted", count)
    session._flops = None
    first = record(session, "compressor=token", "keep_ratio=0.7")
    made = len(calls)
    assert (
        record(session, "compressor=token", "keep_ratio=0.7").compress_flops == first.compress_flops
    )
    assert (made, len(calls)) == (2, 2)  # a page, and the compressor


def test_what_fails_is_missing_and_a_reader_without_torch_has_none(counting: Counting) -> None:
    def fails() -> None:
        raise RuntimeError("no")

    assert counted(fails) is None
    fake = Flops(counting.reader)
    assert fake.encode([]) is None
    assert fake.compress("x", fails) is None


def test_a_parabola_goes_through_its_points() -> None:
    found = parabola([(n, 7 + 3 * n + 2 * n * n) for n in (2, 5, 11)])
    assert found == (7, 3, 2)
