"""What the bench of the KV cache counts, times and judges."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers.cache_utils import Cache, DynamicLayer

from bench import kv
from bench.kv_layer import (
    CHANNELS,
    KIVI,
    KV_HEADS,
    NOTHING,
    QUARTER,
    WHOLE,
    Layer,
    decode_caches,
    holder,
    made_up,
    options,
    update_peak,
)
from freqexp.readers.cache_layer import CompressedLayer
from freqexp.readers.held import storages
from freqexp.schemas.compressor import names_at

SMALL = {"hidden_size": 512, "num_attention_heads": 4, "intermediate_size": 64}
TOKEN = 2 * KV_HEADS * CHANNELS
"""Numbers of one token's keys and values."""


def test_every_option_on_the_cache_is_measured() -> None:
    names = {name.split(",")[0] for name, _ in options()}
    assert sorted([*names, "none"]) == names_at("kv")
    assert names.issuperset(kv.LIMITED)


@pytest.mark.parametrize("tokens", [161, 192])
def test_bytes_held_are_those_by_hand(tokens: int) -> None:
    layer = made_up(tokens, torch.bfloat16)
    for name, config in options():
        found = sum(storages(holder(config)(layer)).values())
        assert found == kv.by_hand(name, tokens), name


def test_by_hand_of_numbers_worked_out_on_paper() -> None:
    assert kv.by_hand("snapkv", 8192) == 4_194_304
    assert kv.by_hand("fp8", 8192) == 4_194_312
    # Half of 4 bits a key and a value, 2 x 16 bits for 32 of them, and 32 values as they are.
    codes, steps = 8192 * 128 + 8160 * 128, 8192 * 32 + 8160 * 32
    assert kv.by_hand("kivi, 4 bits", 8192) == codes + steps + 32 * 512
    assert kv.by_hand("low_rank", 8192) == 2 * 2 * 2 * (63 * 8320 + 128)


def test_bytes_are_judged_by_hand_and_of_the_whole() -> None:
    assert kv.judged_bytes("fp8", 1009, 1009, 1000, 2000)[1]
    assert not kv.judged_bytes("fp8", 1011, 1000, 1000, 2000)[1]
    assert not kv.judged_bytes("fp8", 1000, 989, 1000, 2000)[1]
    assert kv.judged_bytes("kivi, 4 bits", 360, 360, 360, 1000)[1]
    assert not kv.judged_bytes("kivi, 4 bits", 361, 361, 361, 1000)[1]


def test_only_the_limited_methods_can_miss_the_share_of_the_prefill() -> None:
    assert kv.judged_share("snapkv", 5.0, 100.0) == (["snapkv", "5.0", "5.00%", "5%", "met"], True)
    cells, met = kv.judged_share("snapkv", 5.1, 100.0)
    assert (cells[-1], met) == ("missed", False)
    cells, met = kv.judged_share("dct_outlier", 5.1, 100.0)
    assert (cells[-1], met) == ("reported, ABOVE 5 %", True)


def test_a_step_is_compared_turn_by_turn() -> None:
    cells, met = kv.judged_step(QUARTER, [1.0, 8.0, 3.0], [2.0, 10.0, 1.0], 2**20, 2**19)
    assert cells == [QUARTER, "1.00", "0.50", "3.00", "0.800", "met (<= 1)"]
    assert met
    assert not kv.judged_step(QUARTER, [2.1], [2.0], 0, 0)[1]
    assert kv.judged_step(KIVI, [9.0], [2.0], 0, 0)[1]


def test_the_layer_is_causal_and_reads_what_the_cache_holds() -> None:
    layer, cache = Layer(**SMALL), Cache(layers=[DynamicLayer()])
    with torch.inference_mode():
        torch.manual_seed(1)
        whole = layer.forward(6, 0, cache)
        torch.manual_seed(1)
        hidden = torch.randn(1, 6, SMALL["hidden_size"])
        steps = Cache(layers=[DynamicLayer()])
        found = []
        for place in range(6):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("torch.randn", lambda *_, p=place: hidden[:, p : p + 1])
                found.append(layer.forward(1, place, steps))
    torch.testing.assert_close(torch.cat(found, dim=1), whole)
    assert cache.get_seq_length() == 6


def test_caches_of_decoding_hold_what_they_are_named_for() -> None:
    sizes = {}
    for name, cache in decode_caches(256).items():
        sizes[name] = sum(storages(cache.layers[0]).values())
        assert name in (WHOLE, NOTHING) or isinstance(cache.layers[0], CompressedLayer)
    assert sizes[WHOLE] == 256 * TOKEN * 4
    assert sizes[QUARTER] == 64 * TOKEN * 4
    # 256 keys and 224 values in codes, each with 2 bfloat16 for 32, and 32 values in float32.
    assert sizes[KIVI] == 480 * (TOKEN // 2) * 5 // 8 + 32 * (TOKEN // 2) * 4
    assert sizes[NOTHING] == 0


def test_the_peak_of_an_update_is_what_it_allocates() -> None:
    caches = decode_caches(512)
    # Keys are copied, the old ones let go, then values: never both twice.
    assert update_peak(caches[WHOLE]) == pytest.approx(512 * TOKEN * 4 / 2, rel=0.02)
    assert update_peak(caches[QUARTER]) == pytest.approx(128 * TOKEN * 4 / 2, rel=0.04)
    assert update_peak(caches[KIVI]) > 512 * TOKEN * 4
    assert caches[WHOLE].get_seq_length() == 512


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    sizes = "--tokens 320 --decode-tokens 160 --repeats 1 --steps 1"
    monkeypatch.setattr("sys.argv", ["kv", *sizes.split()])
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    monkeypatch.setattr("bench.kv.Layer", lambda: Layer(**SMALL))
    return monkeypatch


def test_every_option_has_its_row_in_every_table(
    small: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small.setattr("bench.kv.PREFILL_LIMIT", 1e9)
    small.setattr("bench.kv.DECODE_LIMIT", 1e9)
    kv.main()
    printed = capsys.readouterr().out
    for name, _ in options():
        assert printed.count(f"| {name} |") == (3 if name == KIVI else 2)
    assert "missed" not in printed


@pytest.mark.parametrize("missing", ["byte_rows", "compress_rows", "decode_rows"])
def test_a_missed_limit_of_any_table_is_the_exit_status(
    small: pytest.MonkeyPatch, missing: str
) -> None:
    for rows in ("byte_rows", "compress_rows", "decode_rows"):
        lines = [(["first"], rows != missing), (["last"], True)]
        small.setattr(f"bench.kv.{rows}", lambda *_, lines=lines: iter(lines))
    with pytest.raises(SystemExit) as ended:
        kv.main()
    assert ended.value.code == 1


def test_queries_are_those_that_a_method_with_defaults_wants() -> None:
    layer = made_up(160, torch.bfloat16)
    snapkv = holder(dict(options())["snapkv"])
    snapkv(layer)
    with pytest.raises(ValueError, match="queries"):
        snapkv(replace(layer, queries=None))
