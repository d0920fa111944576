from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from freqexp.composing.compose import compose
from freqexp.config.run import RunConfig, Tracking
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.errors import ConfigError, UserError
from freqexp.paths import conf_dir
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.method import CompressorConfig
from freqexp.schemas.render import RENDERS, CellsRender
from freqexp.schemas.section import option_name

GROUPS = ("compressor", "profile", "needles", "render", "cluster", "experiment", "arm")
NEEDED = {"compressor=truncate": ("model.input=text",)}
"""What an option can't go without."""
COMMIT = "revision=" + "0" * 40


@pytest.fixture(autouse=True)
def with_all_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options whose programs are not installed are checked, too."""
    monkeypatch.setattr("freqexp.codecs.two_levels.missing", lambda programs: ())


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))


def test_the_defaults_are_those_of_the_design() -> None:
    cfg = compose()
    assert (cfg.model.name, cfg.compressor.name, cfg.profile.name) == (
        "tiny",
        "block_dct",
        "aggressive",
    )
    assert (cfg.needles.count, cfg.cluster.name, cfg.keep_ratio) == (2, "local", 0.5)
    assert cfg.compressor == BlockDctConfig()
    assert isinstance(cfg.model.render, CellsRender)
    page = cfg.model.render
    assert (page.columns * page.cell_width, page.rows * page.cell_height) == (336, 336)


@pytest.mark.parametrize(
    ("profile", "numbers"),
    [
        ("mild", (8, 4, 2, 4, 8)),
        ("aggressive", (8, 4, 0, 4, 8)),
        ("extreme", (8, 3, 0, 4, 8)),
        ("ultra_mild", (16, 14, 12, 16, 24)),
        ("mild_code", (12, 10, 8, 12, 20)),
        ("aggressive_code", (8, 4, 2, 4, 8)),
        ("extreme_code", (8, 3, 0, 3, 6)),
    ],
)
def test_profiles_have_their_published_numbers(profile: str, numbers: tuple[int, ...]) -> None:
    cfg = compose([f"profile={profile}"]).profile
    assert (cfg.bits_low, cfg.bits_mid, cfg.bits_high, cfg.edge_low, cfg.edge_mid) == numbers


@pytest.mark.parametrize(
    "choice", [f"{group}={option}" for group in GROUPS for option in options(group)]
)
def test_every_option_composes_and_survives_saving(choice: str, tmp_path: Path) -> None:
    cfg = compose([choice, "tracking=off", *NEEDED.get(choice, ())])
    group, _, option = choice.partition("=")
    section = cfg.model.render if group == "render" else getattr(cfg, group, None)
    assert getattr(section, "name", option) == option
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(cfg))
    assert from_yaml(file) == cfg


def test_glyph_composes_with_pinned_weights() -> None:
    cfg = compose(["model=glyph", f"model.{COMMIT}"])
    assert cfg.model.render.name == "glyph"
    assert cfg.needles.form is cfg.model.form


@pytest.mark.parametrize(
    ("group", "classes"), [("compressor", COMPRESSORS), ("render", RENDERS)], ids=str
)
def test_options_and_schemas_say_the_same(group: str, classes: tuple[type, ...]) -> None:
    assert sorted(map(option_name, classes)) == options(group)
    for option in classes:
        choice = f"{group}={option_name(option)}"
        from_file = compose([choice, *NEEDED.get(choice, ())])
        section = from_file.compressor if group == "compressor" else from_file.model.render
        # A composed run is one draw of a method that has several.
        assert section == (option().draws()[0] if group == "compressor" else option())


@pytest.mark.parametrize("option", COMPRESSORS, ids=option_name)
def test_a_compressor_builds_what_its_stage_says(option: type[CompressorConfig]) -> None:
    from freqexp.codecs.base import Codec
    from freqexp.kv.base import KVMethod
    from freqexp.tokens.base import TokenCompressor
    from freqexp.tokens.layer_base import LayerMethod
    from freqexp.tokens.truncate import Truncate

    kinds = {"codec": Codec, "token": TokenCompressor, "decoder": LayerMethod, "kv": KVMethod}
    kinds["text"] = Truncate
    parts = option(name=option_name(option)).parts(0.5)
    assert [part.config.stage for part in parts] == {
        "none": [],
        "combined": ["codec", "token"],
    }.get(option.stage, [option.stage])
    for config, keep_ratio in parts:
        assert isinstance(config.build(keep_ratio, compose().profile), kinds[config.stage])


@pytest.mark.parametrize("option", RENDERS, ids=option_name)
def test_a_render_schema_builds_a_renderer(option: type) -> None:
    from freqexp.nouns.page import Page
    from freqexp.nouns.sample import Turn

    pages = option().build().render([Turn("a riddle", "two hands and a face")])
    assert pages
    assert all(isinstance(page, Page) for page in pages)


def test_saved_yaml_is_plain_and_complete() -> None:
    saved = yaml.safe_load(to_yaml(compose(["tracking=off", "keep_ratio=0.3"])))
    assert saved["tracking"] == "off"
    assert saved["keep_ratio"] == 0.3
    assert saved["needles"]["form"] == "short"
    assert set(saved) == set(RunConfig.__dataclass_fields__)


def test_a_run_is_read_back_with_other_choices(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    cfg = compose(["compressor=token", "compressor.quantize=false", "render=glyph", "needles=8"])
    cfg.tracking = Tracking.off
    file.write_text(to_yaml(cfg))
    assert from_yaml(str(file)) == cfg


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda saved: saved.update(foo=1), "foo"),
        (lambda saved: saved.update(keep_ratio="abc"), "keep_ratio"),
        (lambda saved: saved["compressor"].update(name="gone"), "none, block_dct"),
        (lambda saved: saved["compressor"].update(blok=3), "blok"),
        (lambda saved: saved["model"].pop("max_new_tokens"), "max_new_tokens"),
        (lambda saved: saved.pop("compressor"), "name"),
    ],
)
def test_a_saved_run_that_does_not_fit_is_refused(change, said: str, tmp_path: Path) -> None:
    saved = yaml.safe_load(to_yaml(compose()))
    change(saved)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(saved))
    with pytest.raises(ConfigError, match=said) as caught:
        from_yaml(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"a: [", b"\xff\xfe\x00", b"just text"])
def test_a_file_that_is_no_saved_run_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        from_yaml(file)
    assert str(file) in str(caught.value)


def test_a_missing_saved_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        from_yaml(tmp_path / "none.yaml")
