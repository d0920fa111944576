"""A sample's way with a method inside the decoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from run_fakes import Counting, make_config

from freqexp.answering.pipeline import Pipeline
from freqexp.answering.session import Session
from freqexp.answering.storage import kept_bitmaps, kept_of
from freqexp.composing.compose import compose
from freqexp.config.run import RunConfig
from freqexp.errors import UserError
from freqexp.nouns.vision import CompressedTokens
from freqexp.results.record import Record
from freqexp.schemas.in_decoder import FastvConfig

LAYERS = 6
"""Of the bundled reader."""


@pytest.fixture(scope="module")
def session() -> Session:
    torch.set_num_threads(1)
    return Session()


def configured(tmp_path: Path, *overrides: str) -> RunConfig:
    fixed = [f"output_dir={tmp_path}", "tracking=off", "samples=2", "model.max_new_tokens=4"]
    return compose([*fixed, *overrides])


def records(cfg: RunConfig, session: Session) -> list[Record]:
    pipeline = Pipeline(cfg, session)
    assert pipeline.batch_size == (1 if "layer" in vars(cfg.compressor) else cfg.model.batch_size)
    samples = session.samples(cfg)
    pipeline.warm_up(samples[0])
    return [record for one in pipeline.batches(samples) for record, _ in pipeline.run(one)]


@pytest.mark.parametrize("method", ["fastv", "dart"])
def test_a_record_says_what_stays_and_what_choosing_took(
    tmp_path: Path, session: Session, method: str
) -> None:
    plain = records(configured(tmp_path, "compressor=none", "model.batch_size=2"), session)
    ratio = ["keep_ratio=0.25", "model.batch_size=2"]
    ours = records(configured(tmp_path, f"compressor={method}", *ratio), session)
    for base, record in zip(plain, ours, strict=True):
        tokens, length = base.vision_tokens_in, base.decoder_tokens
        assert record.error is None
        assert tokens is not None
        assert length is not None
        assert (base.batch_size, record.batch_size) == (2, 1)
        assert record.vision_tokens_in == record.vision_tokens_out == tokens
        assert record.decoder_tokens == base.mean_layer_tokens == length
        left = length - tokens + int(tokens / 4 + 0.5)
        assert (record.cache_tokens_min, record.cache_tokens_max) == (left, length)
        mean = (2 * length + 4 * left) / LAYERS
        assert record.mean_layer_tokens == pytest.approx(mean)
        assert record.kv_cache_bytes == pytest.approx(base.kv_cache_bytes * mean / length)
        assert record.kept is not None
        bits = sum(int(page.split(":")[1], 16).bit_count() for page in record.kept.split())
        assert bits == int(tokens / 4 + 0.5)
        assert base.compress_ms is None
        assert record.compress_ms is not None
        assert 0 < record.compress_ms < 1000
        assert record.simulated is False
        assert (record.token_simulated, record.stored_bytes) == (None, None)


def test_everything_kept_is_the_baseline(tmp_path: Path, session: Session) -> None:
    (base, *_) = records(configured(tmp_path, "compressor=none"), session)
    (ours, *_) = records(configured(tmp_path, "compressor=fastv", "keep_ratio=1"), session)
    assert (ours.raw_answer, ours.answer) == (base.raw_answer, base.answer)
    assert ours.mean_layer_tokens == base.mean_layer_tokens == ours.decoder_tokens
    assert (ours.kept, ours.simulated) == (None, True)


def test_a_reader_that_cannot_is_refused_before_anything_is_answered(tmp_path: Path) -> None:
    cfg = make_config(str(tmp_path), compressor=FastvConfig())
    with pytest.raises(UserError, match=r"compressor\.layer: got 2, allowed: no layer of"):
        Pipeline(cfg, Counting().session())


def test_weights_of_the_hub_say_how_many_layers_they_have(tmp_path: Path, session: Session) -> None:
    """What the check of the configuration can't see is seen once the model is loaded."""
    cfg = configured(tmp_path, "compressor=fastv")
    layer = replace(cfg, compressor=FastvConfig(layer=LAYERS))
    with pytest.raises(UserError, match=r"compressor\.layer: got 6, allowed: 1 to 5"):
        Pipeline(layer, session)


def test_numbers_over_all_pages_become_places_of_each() -> None:
    pages = [
        CompressedTokens(torch.zeros(3, 1), torch.tensor([0, 2, 3]), (2, 2)),
        CompressedTokens(torch.zeros(2, 1), torch.tensor([0, 1]), (1, 2)),
    ]
    left = kept_of(pages, (1, 2, 4))
    assert [page.kept.tolist() for page in left] == [[2, 3], [1]]
    assert kept_bitmaps(left) == "2x2:3 1x2:4"
    assert kept_bitmaps(kept_of(pages, (4,))) == "2x2:0 1x2:4"
