"""Several methods in one run: choosing them, and what a run of them records."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_fakes
import torch
from run_fakes import Counting

from freqexp.answering.session import Session
from freqexp.answering.storage import keep_deepstack, stored_pages, stored_tokens
from freqexp.codecs.base import CodecResult
from freqexp.composing.compose import collect, compose
from freqexp.config.identity import identity
from freqexp.config.run import RunConfig
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.errors import ConfigError
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.results.record import Record
from freqexp.results.record_file import load_records
from freqexp.results.summary import Summary
from freqexp.results.table import render_table
from freqexp.running.execute import baseline_of, execute, label, run_folder
from freqexp.running.progress import Lines
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.compressor import CombinedConfig
from freqexp.schemas.method import NoneConfig
from freqexp.schemas.tokens import TokenConfig

PRUNE = TokenConfig(transform=False, quantize=False)


def run(cfg: RunConfig, session: Session) -> tuple[Summary, list[Record]]:
    summary = execute(cfg, session, Lines(io.StringIO()))
    folder = run_folder(cfg, run_fakes.fake_run_id(cfg))
    return summary, load_records(folder / "records.jsonl")


def make(tmp_path: Path, **changes: Any) -> RunConfig:
    cfg: RunConfig = run_fakes.make_config(str(tmp_path / "outputs"), **changes)
    return cfg


def test_parts_are_chosen_by_their_place() -> None:
    cfg = compose(["compressor=combined", "token=token", "codec=block_dct", "keep_ratio=0.3"])
    assert cfg.compressor == CombinedConfig(codec=BlockDctConfig(), token=TokenConfig())
    assert [part.keep_ratio for part in cfg.compressor.parts(cfg.keep_ratio)] == [0.3, 0.3]
    own = compose(
        [
            "compressor=combined",
            "compressor@compressor.codec=block_dct",
            "compressor.codec.block=8",
            "compressor.token.quantize=false",
            "compressor.codec_keep_ratio=0.2",
        ]
    )
    (codec, codec_ratio), (token, token_ratio) = own.compressor.parts(own.keep_ratio)
    assert (codec, codec_ratio) == (BlockDctConfig(block=8), 0.2)
    assert (token, token_ratio) == (TokenConfig(quantize=False), 0.5)


def test_saved_yaml_comes_back(tmp_path: Path) -> None:
    cfg = compose(["compressor=combined", "compressor.codec.block=8", "token=token"])
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(cfg))
    assert from_yaml(file) == cfg
    file.write_text(to_yaml(cfg).replace("name: block_dct", "name: mpeg"))
    with pytest.raises(ConfigError, match=r"compressor\.codec\.name: got 'mpeg', allowed: none"):
        from_yaml(file)


def test_a_grid_of_parts_shares_its_edges_with_single_methods() -> None:
    grid = ["codec=none,block_dct", "token=none,token"]
    found = [point.config for point in collect(["-m", "compressor=combined", *grid])]
    kinds = [NoneConfig(), TokenConfig(), BlockDctConfig(), CombinedConfig()]
    assert [cfg.compressor for cfg in found] == kinds
    assert identity(found[1]) == identity(compose(["compressor=token"]))
    own = ["compressor=combined", "token=none", "compressor.codec_keep_ratio=0.2"]
    assert compose(own) == compose(["compressor=block_dct", "keep_ratio=0.2"])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["codec=foo", "compressor=combined"], ["compressor.codec: got 'foo', allowed: "]),
        (["codec=block_dct"], ["compressor.codec: got 'block_dct', allowed: only with compressor"]),
        (["compressor=combined", "codec=token"], ["compressor.codec: got 'token', allowed: "]),
        (["compressor=combined", "token=combined"], ["compressor.token: got 'combined', allowed"]),
        (
            ["compressor=combined", "compressor.codec.blok=3", "compressor.codec.block=0"],
            ["compressor.codec.blok: no such key, did you mean", "compressor.codec.block: got 0"],
        ),
        (
            ["compressor=combined", "compressor.token_keep_ratio=3"],
            ["compressor.token_keep_ratio: got 3.0, allowed: a number above 0 and at most 1"],
        ),
        (
            [
                "compressor=combined",
                "compressor.token.prune=false",
                "compressor.token_keep_ratio=0.5",
            ],
            ["compressor.token_keep_ratio: got 0.5, allowed: null (token has no use for it)"],
        ),
    ],
)
def test_faults_name_the_part(overrides: list[str], expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert len(caught.value.faults) == len(expected)
    for line, start in zip(caught.value.faults, expected, strict=True):
        assert line.startswith(start)


def test_only_what_a_part_uses_counts(tmp_path: Path) -> None:
    def same(methods: CombinedConfig, **changes: Any) -> bool:
        cfg = make(tmp_path, compressor=methods)
        return identity(cfg) == identity(replace(cfg, **changes))

    other_profile = replace(run_fakes.PROFILE, bits_low=3)
    both = CombinedConfig(codec_keep_ratio=0.2, token_keep_ratio=0.3)
    assert not same(CombinedConfig(), keep_ratio=0.1)
    assert not same(replace(both, token_keep_ratio=None), keep_ratio=0.1)
    assert same(both, keep_ratio=0.1)
    assert not same(both, profile=other_profile)
    assert same(CombinedConfig(token=PRUNE), profile=other_profile)
    assert not same(both, compressor=replace(both, codec_keep_ratio=0.4))


def test_both_parts_act_and_are_measured(tmp_path: Path) -> None:
    counting = Counting()
    combined = CombinedConfig(token=PRUNE, codec_keep_ratio=0.1, token_keep_ratio=0.25)
    cfg = make(tmp_path, compressor=combined, samples=1)
    summary, (record,) = run(cfg, counting.session())
    base = baseline_of(cfg)
    assert base is not None
    plain = counting.session()
    page = plain.render(cfg.model.render, plain.samples(cfg)[0])[0].pages[0].pixels
    codec = BlockDctConfig().build(0.1, cfg.profile).compress(page)
    assert np.array_equal(counting.reader.encoded[0], codec.pixels)
    (features,) = counting.reader.features[0]
    vision = run_fakes.FakeReader().encode([codec.pixels])[0]
    token = PRUNE.build(0.25, cfg.profile).compress(vision)
    assert torch.equal(features, token.features)
    assert record.vision_tokens_out == round(0.25 * len(vision.features))
    assert record.codec_nominal_ratio == pytest.approx(codec.nominal_ratio)
    assert record.token_nominal_ratio == pytest.approx(4)
    assert (record.nominal_ratio, record.stored_bytes) == (None, None)
    assert record.codec_ms is not None
    assert record.token_ms is not None
    assert record.compress_ms == pytest.approx(record.codec_ms + record.token_ms)
    simulated = [part.config.build(0.1, cfg.profile).simulated for part in combined.parts(0.1)]
    assert [record.codec_simulated, record.token_simulated] == simulated
    assert record.simulated is any(simulated)
    assert summary.compressor == "block_dct+token"
    assert summary.options == (
        "token.transform=false,token.quantize=false,codec_keep_ratio=0.1,token_keep_ratio=0.25"
    )
    assert (summary.keep_ratio, summary.profile) == (None, None)
    assert label(cfg) == "block_dct+token, 2 needles"


@pytest.mark.parametrize(
    ("codec", "token", "note"),
    [(True, False, "codec simulated"), (False, True, "token simulated"), (True, True, "simulated")],
)
def test_the_table_says_which_part_is_simulated(
    tmp_path: Path, codec: bool, token: bool, note: str
) -> None:
    cfg = make(tmp_path, compressor=CombinedConfig(), samples=1)
    summary, _ = run(cfg, Counting().session())
    flags = {"simulated": True, "codec_simulated": codec, "token_simulated": token}
    assert f"  {note}  " in render_table([replace(summary, **flags)])


def test_one_simulated_part_makes_the_run_simulated(tmp_path: Path) -> None:
    combined = CombinedConfig(token=replace(TokenConfig(), prune=False))
    _, (record,) = run(make(tmp_path, compressor=combined, samples=1), Counting().session())
    assert (record.simulated, record.token_simulated) == (True, True)


def test_a_single_method_has_its_figures_under_both_names(tmp_path: Path) -> None:
    cfg = make(tmp_path, compressor=PRUNE, samples=1)
    _, (record,) = run(cfg, Counting().session())
    assert record.compress_ms == record.token_ms
    assert record.nominal_ratio == record.token_nominal_ratio == pytest.approx(2)
    assert (record.codec_ms, record.codec_nominal_ratio, record.codec_simulated) == (None,) * 3


def test_points_that_differ_in_the_tokens_share_the_encoding_of_one_codec(tmp_path: Path) -> None:
    counting = Counting()
    session = counting.session()
    for ratio in (0.25, 0.5, 0.75):
        combined = CombinedConfig(codec_keep_ratio=0.1, token_keep_ratio=ratio)
        run(make(tmp_path, compressor=combined), session)
    assert len(counting.reader.encoded) == 6


def test_deepstack_features_stay_with_their_tokens() -> None:
    levels = tuple(torch.randn(12, 5) for _ in range(3))
    page = VisionTokens(torch.randn(12, 5), (3, 4), levels)
    kept = torch.tensor([0, 5, 11])
    result = keep_deepstack(page, CompressedTokens(page.features[kept], kept, page.grid, 4.0, 7))
    assert len(result.deepstack) == 3
    for level, found in zip(levels, result.deepstack, strict=True):
        assert torch.equal(found, level[kept])
    own = replace(result, deepstack=(levels[0],))
    assert keep_deepstack(page, own) is own
    stored = stored_tokens([page], [result])
    # 60 numbers kept at a quarter, and three levels of 3 x 5 numbers of four bytes as they are.
    assert stored.nominal_ratio == pytest.approx(240 / (15 + 45))
    assert stored.stored_bytes == 7 + 45 * 4


def test_a_page_without_a_figure_leaves_the_sample_without() -> None:
    small, large = np.zeros((10, 10), np.uint8), np.zeros((10, 30), np.uint8)
    both = [CodecResult(small, 2.0, 5), CodecResult(large, 4.0, 6)]
    stored = stored_pages([small, large], both)
    assert stored.nominal_ratio == pytest.approx(400 / (50 + 75))
    assert stored.stored_bytes == 11
    some = stored_pages([small, large], [both[0], CodecResult(large, None, None)])
    assert (some.nominal_ratio, some.stored_bytes) == (None, None)
