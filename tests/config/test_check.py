from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mrcr_data import row, write_jsonl, write_parquet

from freqexp.composing.compose import compose
from freqexp.config.check import check
from freqexp.config.run import RunConfig, Tracking
from freqexp.schemas.choices import Family, Text
from freqexp.schemas.in_decoder import DartConfig, FastvConfig
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.render import GlyphRender
from freqexp.schemas.tokens import TokenConfig


@pytest.fixture(scope="module")
def cfg() -> RunConfig:
    return compose(["tracking=off"])


@given(keep_ratio=st.floats())
def test_a_keep_ratio_is_a_share_above_zero(cfg: RunConfig, keep_ratio: float) -> None:
    faults = check(replace(cfg, keep_ratio=keep_ratio))
    usable = not math.isnan(keep_ratio) and 0 < keep_ratio <= 1
    assert [line.split(":")[0] for line in faults] == ([] if usable else ["keep_ratio"])


@given(
    bits=st.tuples(*[st.integers(-20, 40)] * 3),
    edges=st.tuples(*[st.floats(-5, 50) | st.sampled_from([math.nan, math.inf])] * 2),
)
def test_profiles_have_bits_and_ordered_edges(
    cfg: RunConfig, bits: tuple[int, int, int], edges: tuple[float, float]
) -> None:
    low, mid, high = bits
    profile = replace(
        cfg.profile,
        bits_low=low,
        bits_mid=mid,
        bits_high=high,
        edge_low=edges[0],
        edge_mid=edges[1],
    )
    finite = all(math.isfinite(edge) and edge >= 0 for edge in edges)
    usable = all(0 <= bit <= 16 for bit in bits) and finite and edges[0] <= edges[1]
    assert bool(check(replace(cfg, profile=profile))) is not usable


def test_an_adapter_is_a_folder_with_its_files(cfg: RunConfig, tmp_path: Path) -> None:
    def faults(adapter: str, family: Family = Family.glm4v) -> list[str]:
        model = replace(cfg.model, adapter=adapter, family=family)
        return [line for line in check(replace(cfg, model=model)) if "adapter" in line]

    assert faults("bundled") == []
    assert (
        "allowed: null, bundled, bundled_half, bundled_text or a folder that exists"
        in faults(str(tmp_path / "none"))[0]
    )
    (found,) = faults(str(tmp_path))
    assert "allowed: a folder with adapt.json and either adapter_config.json and" in found
    for name in ("adapt.json", "decoder.safetensors"):
        (tmp_path / name).write_text("")
    assert faults(str(tmp_path)) == []
    assert faults(str(tmp_path), Family.ppocr) == [
        f"model.adapter: got {str(tmp_path)!r}, allowed: null for ppocr"
    ]


def test_all_faults_come_at_once_and_name_field_value_and_allowed(cfg: RunConfig) -> None:
    bad = replace(
        cfg,
        keep_ratio=0.0,
        samples=0,
        seed=-1,
        sweep_name="a/b",
        tracking=Tracking.auto,
        wandb_project="a/b",
        output_dir="",
        compressor=TokenConfig(transform=False),
        needles=NeedlesConfig(count=3, path="/nowhere.json", turns=0, bucket="7"),
        model=replace(
            cfg.model,
            path="nowhere",
            max_new_tokens=0,
            render=GlyphRender(dpi=0, margin_x=300, font_pt=math.nan, font_path="/nowhere"),
        ),
        cluster=replace(cfg.cluster, threads=0),
    )
    faults = check(bad)
    assert sorted(line.split(":")[0] for line in faults) == sorted(
        [
            "keep_ratio",
            "samples",
            "seed",
            "sweep_name",
            "wandb_project",
            "output_dir",
            "compressor.quantize",
            "needles.count",
            "needles.path",
            "needles.turns",
            "needles.turns",
            "needles.bucket",
            "model.path",
            "model.max_new_tokens",
            "model.render.dpi",
            "model.render.margin_x",
            "model.render.font_pt",
            "model.render.font_path",
            "cluster.threads",
        ]
    )
    assert all(": got " in line and ", allowed: " in line for line in faults)


@pytest.mark.parametrize(
    ("needles", "field"),
    [
        (NeedlesConfig(count=2, bucket="4096-8192"), "needles.bucket"),
        (NeedlesConfig(count=2, target_chars=100), "needles.target_chars"),
        (NeedlesConfig(count=4, turns=3), "needles.turns"),
        (NeedlesConfig(count=4, near=-0.1), "needles.near"),
        (NeedlesConfig(count=4, near=math.nan), "needles.near"),
    ],
)
def test_generated_samples_have_no_bucket_and_room_for_their_needles(
    cfg: RunConfig, needles: NeedlesConfig, field: str
) -> None:
    (line,) = check(replace(cfg, needles=needles))
    assert line.startswith(f"{field}: ")


def test_samples_of_a_file_are_as_they_are(cfg: RunConfig, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "2needle.jsonl", [row()])
    needles = NeedlesConfig(count=2, path=str(file), near=1.0, text=Text.random)
    assert check(replace(cfg, needles=needles)) == [
        "needles.near: got 1.0, allowed: 0.5 with needles.path, an option of generated samples",
        "needles.text: got 'random', allowed: english with needles.path, an option of generated"
        " samples",
    ]
    needles = NeedlesConfig(count=2, near=1.0, text=Text.random)
    assert check(replace(cfg, needles=needles)) == []


def test_data_can_be_a_file_or_a_folder_of_them(cfg: RunConfig, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "2needle.jsonl", [row()])
    for path in (file, tmp_path):
        needles = NeedlesConfig(count=2, path=str(path), bucket="4096-8192")
        assert check(replace(cfg, needles=needles)) == []


def test_rows_are_looked_at_before_anything_starts(cfg: RunConfig, tmp_path: Path) -> None:
    def faults(count: int) -> list[str]:
        return check(replace(cfg, needles=NeedlesConfig(count=count, path=str(tmp_path))))

    write_jsonl(tmp_path / "a.jsonl", [row(0), row(1)])
    assert faults(2) == []
    assert faults(4)[0].startswith("needles.count: got 4, allowed: 2 (2 samples)")
    write_parquet(tmp_path / "b.parquet", [row(1)])
    (line,) = faults(2)
    assert line.startswith("needles.path: got the same sample in")
    write_parquet(tmp_path / "b.parquet", [row(2, answer="x")])
    (line,) = faults(2)
    assert line.startswith(f"needles.path: {tmp_path}/b.parquet: row 0: answer: got 'x'")


@pytest.mark.parametrize(
    ("path", "revision", "field"),
    [
        ("owner/name", "0" * 40, None),
        ("owner/name", "main", "model.revision"),
        ("owner/name", None, "model.revision"),
        ("/nowhere/at/all", None, "model.path"),
        (None, "0" * 40, "model.revision"),
        (None, None, None),
    ],
)
def test_weights_are_a_folder_or_a_pinned_hub_id(
    cfg: RunConfig, path: str | None, revision: str | None, field: str | None
) -> None:
    faults = check(replace(cfg, model=replace(cfg.model, path=path, revision=revision)))
    assert [line.split(":")[0] for line in faults] == ([field] if field else [])


def test_results_go_to_a_folder_that_takes_files(
    cfg: RunConfig, tmp_path: Path, composed: Callable[..., RunConfig]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert check(replace(cfg, output_dir=str(tmp_path / "new" / "folder"))) == []
    assert not (tmp_path / "new").exists()
    for folder in (file, file / "below", Path("/proc/nowhere")):
        (line,) = check(replace(cfg, output_dir=str(folder)))
        assert line.startswith(f"output_dir: got '{folder}', allowed: a folder that can be written")


@pytest.mark.parametrize("part", ["compressor", "needles", "cluster", "profile"])
def test_a_key_without_a_schema_is_a_fault(part: str) -> None:
    cfg = compose()
    getattr(cfg, part).surplus = 1
    (line,) = check(cfg)
    assert line.startswith(f"{part}.surplus: no such key; known: ")


def test_a_layer_is_one_of_the_model_and_not_the_first(cfg: RunConfig, tmp_path: Path) -> None:
    def faults(layer: int, model: ModelConfig) -> list[str]:
        return check(replace(cfg, compressor=FastvConfig(layer=layer), model=model))

    tiny = cfg.model
    assert faults(1, tiny) == faults(5, tiny) == []
    (first,) = faults(0, tiny)
    assert first.startswith("compressor.layer: got 0, allowed: 1 or more")
    said = "compressor.layer: got 6, allowed: 1 to 5 for these weights of 6 layers"
    assert faults(6, tiny) == [said]
    # A folder is looked into; weights of the hub are not, nor is a file that says nothing.
    (tmp_path / "config.json").write_text('{"text_config": {"num_hidden_layers": 3}}')
    local = replace(tiny, path=str(tmp_path), family=Family.qwen2_vl)
    assert faults(3, local) == [said.replace("got 6", "got 3").replace("5", "2").replace("6", "3")]
    hub = replace(tiny, path="owner/model", revision="a" * 40)
    assert faults(99, hub) == []
    for text in ("{", "[]", '{"num_hidden_layers": null}', '{"text_config": 3}'):
        (tmp_path / "config.json").write_text(text)
        assert faults(99, local) == []


def test_families_whose_decoder_keeps_all_are_refused_by_name(cfg: RunConfig) -> None:
    model = replace(cfg.model, family=Family.ppocr)
    (said,) = check(replace(cfg, compressor=DartConfig(), model=model))
    assert said == (
        "model.family: got 'ppocr with compressor dart inside the decoder', allowed: "
        "glm4v, qwen2_vl, qwen2_5_vl, qwen3_vl, llava_onevision"
    )


@pytest.mark.parametrize("name", ["glyph", "glm41v_9b", "mine"])
def test_the_bundled_weights_bear_no_other_name(cfg: RunConfig, name: str) -> None:
    other = replace(cfg, model=replace(cfg.model, name=name, path=None))
    assert check(other) == [
        f"model.name: got {name!r}, allowed: tiny while model.path is null: those are the bundled "
        "weights"
    ]


def test_a_mistyped_folder_of_weights_is_called_absent(cfg: RunConfig) -> None:
    other = replace(cfg, model=replace(cfg.model, name="glyph", path="checkpoints/Glpyh"))
    assert check(other) == [
        "model.revision: got None, allowed: the 40 hex digits of a commit, if checkpoints/Glpyh is "
        "a hub id; there is no folder of this name"
    ]
