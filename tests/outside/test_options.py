"""Methods from installed packages and from a folder of the user's own, as options."""

from __future__ import annotations

from pathlib import Path

import pytest
from their_package import install, install_text

from freqexp.composing.compose import collect, compose
from freqexp.config.identity import outside_code, run_id
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.errors import ConfigError, UserError

OWN = '''
"""A method."""
from dataclasses import dataclass
from typing import ClassVar

from freqexp.schemas.method import CompressorConfig
from freqexp.tokens.scorer import Scorer


@dataclass
class FirstConfig(CompressorConfig):
    """The first tokens."""

    name: str = "first"
    back: bool = False
    stage: ClassVar[str] = "token"

    def build(self, keep_ratio, profile):
        return First(keep_ratio)


class First(Scorer):
    """The first tokens."""

    def score(self, tokens):
        """Minus the place."""
        import torch

        return -torch.arange(len(tokens.features))
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "compressor").mkdir(parents=True)
    (folder / "compressor" / "first.py").write_text(OWN)
    return folder


def saved_again(cfg, folder: Path, **kwargs):
    file = folder / "config.yaml"
    file.write_text(to_yaml(cfg))
    return from_yaml(file, **kwargs)


@pytest.mark.parametrize(
    ("name", "key", "stage"),
    [
        ("few_bits", "level=3", "codec"),
        ("variance", "center=true", "token"),
        ("small_keys", "bits=4", "kv"),
    ],
)
def test_a_package_offers_options(
    theirs: Path, tmp_path: Path, name: str, key: str, stage: str
) -> None:
    cfg = compose((f"compressor={name}", f"compressor.{key}"))
    assert cfg.compressor.name == name
    assert cfg.compressor.stage == stage
    field, value = key.split("=")
    assert str(getattr(cfg.compressor, field)).lower() == value
    assert saved_again(cfg, tmp_path) == cfg
    (part,) = cfg.compressor.parts(0.5)
    assert not part.build(cfg.profile).simulated
    assert set(outside_code(cfg)) == {name}


def test_they_sweep_and_stand_in_combinations_beside_ours(theirs: Path, tmp_path: Path) -> None:
    points = collect(
        ["-m", "compressor=few_bits,pool,variance", "keep_ratio=0.3,0.5", f"output_dir={tmp_path}"]
    )
    assert len(points) == 6
    cfg = compose(
        ("compressor=combined", "codec=few_bits", "token=variance", "kv=small_keys",
         "compressor.codec.level=2")
    )  # fmt: skip
    assert [part.config.name for part in cfg.compressor.parts(0.5)] == [
        "few_bits", "variance", "small_keys",
    ]  # fmt: skip
    assert saved_again(cfg, tmp_path) == cfg
    assert set(outside_code(cfg)) == {"few_bits", "variance", "small_keys"}


def test_settings_are_checked_as_ours_are(theirs: Path) -> None:
    for key, match in (
        ("level=11", r"compressor\.level: got 11, allowed: 1 to 9"),
        ("level=x", "compressor.level: got 'x', allowed: an integer"),
        ("levle=3", "no such key, did you mean compressor.level"),
    ):
        with pytest.raises(ConfigError, match=match):
            compose(("compressor=few_bits", f"compressor.{key}"))
    with pytest.raises(ConfigError, match=r"codec.*variance.*allowed: .*few_bits"):
        compose(("compressor=combined", "codec=variance", "token=none"))
    with pytest.raises(ConfigError, match=r"allowed: .*few_bits.*small_keys.*variance"):
        compose(("compressor=few_bit",))


def test_a_yaml_file_of_the_user_s_builds_on_theirs(theirs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "compressor"
    folder.mkdir(parents=True)
    (folder / "quick.yaml").write_text("defaults: [few_bits, _self_]\nlevel: 1\n")
    (folder / "variance.yaml").write_text(
        "defaults: [/schema/compressor/variance@_here_, _self_]\ncenter: true\n"
    )
    flag = f"--config-dir={tmp_path / 'mine'}"
    (point,) = collect([flag, "compressor=quick", f"output_dir={tmp_path}"])
    assert (point.config.compressor.name, point.config.compressor.level) == ("few_bits", 1)
    (point,) = collect([flag, "compressor=variance", f"output_dir={tmp_path}"])
    assert point.config.compressor.center


def test_a_file_in_a_folder_of_the_user_s_is_an_option(own: Path, tmp_path: Path) -> None:
    (point,) = collect(
        [
            f"--config-dir={own}",
            "compressor=first",
            "compressor.back=true",
            f"output_dir={tmp_path}",
        ]
    )
    cfg = point.config
    assert cfg.compressor.back
    assert (
        compose(("compressor=first", f"hydra.searchpath=[file://{own}]")).compressor.name == "first"
    )
    assert saved_again(cfg, tmp_path, folders=[own]) == cfg
    with pytest.raises(ConfigError, match=r"compressor\.name: got 'first', allowed: none, "):
        saved_again(cfg, tmp_path)
    with pytest.raises(ConfigError, match="compressor: got 'first', allowed"):
        compose(("compressor=first",))


def test_the_run_id_has_the_code_and_not_its_words(own: Path, tmp_path: Path) -> None:
    def id_of(text: str) -> str:
        (own / "compressor" / "first.py").write_text(text)
        return run_id(compose(("compressor=first", f"hydra.searchpath=[file://{own}]")))

    before = id_of(OWN)
    assert id_of(OWN.replace('"""Minus the place."""', '"""Other words."""\n# more')) == before
    assert id_of(OWN.replace("-torch", "+torch")) != before
    assert id_of(OWN) == before
    (other,) = collect([f"--config-dir={own}", "compressor=pool", f"output_dir={tmp_path}"])
    assert run_id(other.config) == run_id(compose(("compressor=pool",)))


def test_the_run_id_has_every_module_of_the_package(tmp_path: Path, site: Path) -> None:
    from freqexp.outside.source import source_digest

    first, second = install(tmp_path / "a"), install(tmp_path / "b")
    assert source_digest(first) == source_digest(second)
    (second / "few_bits.py").write_text((second / "few_bits.py").read_text() + "\nMORE = 1\n")
    assert source_digest(first) != source_digest(second)


SCHEMA = """
from dataclasses import dataclass
from freqexp.schemas.method import CompressorConfig

@dataclass
class C(CompressorConfig):
    name: str = "bad"
    stage = "token"
    def build(self, keep_ratio, profile):
        from freqexp.tokens.pool import Pool
        return Pool(keep_ratio)
"""
TOKENS = {"freqexp.tokens": "bad = badly:C"}
FAULTS = {
    "import error": ("import nothing_there\n", TOKENS, "No module named 'nothing_there'"),
    "leaves": ("raise SystemExit(3)", TOKENS, "SystemExit: 3"),
    "no such class": ("", TOKENS, "AttributeError"),
    "no schema": ("def C(): ...", TOKENS, "a subclass of CompressorConfig"),
    "not a subclass": ("class C: ...", TOKENS, "a subclass of CompressorConfig"),
    "no dataclass": (SCHEMA.replace("@dataclass\n", ""), TOKENS, "C lacks @dataclass"),
    "no build": (SCHEMA.partition("    def build")[0], TOKENS, "C has no build"),
    "other name": (SCHEMA.replace('"bad"', '"good"'), TOKENS, "its field name is good"),
    "no name": (SCHEMA.replace('    name: str = "bad"\n', ""), TOKENS, "name is without a default"),
    "other group": (SCHEMA, {"freqexp.kv": "bad = badly:C"}, "its stage is token, those of the"),
    "no stage": (SCHEMA.replace('"token"', '"tokens"'), TOKENS, "its stage is 'tokens'"),
    "no default": (
        SCHEMA.replace("    stage", "    x: object = object()\n    stage"), TOKENS, "can be used",
    ),
    "a codec without a schema": (
        "class C:\n    encode = decode = staticmethod(bytes)\n",
        {"freqexp.codecs": "bad = badly:C"},
        "compressor=external compressor.entry=bad",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_a_bad_package_is_named_and_stops_no_other_run(
    site: Path, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, points, why = FAULTS[what]
    install_text(site, "badly", text, points)
    with pytest.raises(ConfigError) as caught:
        compose(("compressor=bad",))
    (line,) = caught.value.faults
    assert line.startswith("compressor")
    assert "'bad', allowed: " in line or "compressor=bad: " in line
    assert why in line
    assert "package badly 0.1" in line
    with pytest.raises(ConfigError, match="package badly"):
        collect(["-m", "compressor=pool,bad", f"output_dir={tmp_path}"])
    assert compose(("compressor=pool",)).compressor.name == "pool"
    assert capsys.readouterr().err == ""


def test_a_build_that_raises_names_the_package(site: Path) -> None:
    install_text(site, "badly", SCHEMA.replace("return Pool(keep_ratio)", "return 1 / 0"), TOKENS)
    cfg = compose(("compressor=bad",))
    (part,) = cfg.compressor.parts(0.5)
    match = r"compressor: got 'bad', allowed: .*ZeroDivisionError.*package badly 0\.1"
    with pytest.raises(UserError, match=match):
        part.build(cfg.profile)


def test_a_check_that_raises_names_the_package(site: Path) -> None:
    text = SCHEMA + "    def check(self, prefix):\n        return [1 / 0]\n"
    install_text(site, "badly", text, TOKENS)
    for overrides in (("compressor=bad",), ("compressor=combined", "codec=none", "token=bad")):
        match = r"compressor: got 'bad', allowed: .*ZeroDivisionError.*package badly 0\.1"
        with pytest.raises(ConfigError, match=match):
            compose(overrides)
    assert compose(("compressor=pool",)).compressor.name == "pool"


def test_a_build_of_another_stage_names_the_package(site: Path) -> None:
    install_text(site, "badly", SCHEMA.replace("return Pool(", "return float("), TOKENS)
    cfg = compose(("compressor=bad",))
    with pytest.raises(UserError, match=r"float is no TokenCompressor.*package badly 0\.1"):
        cfg.compressor.parts(0.5)[0].build(cfg.profile)


def test_a_name_has_one_owner(site: Path, own: Path, tmp_path: Path) -> None:
    for package in ("badly", "worse"):
        points = {"freqexp.tokens": f"bad = {package}:C"}
        install_text(site, package, SCHEMA, points)
    install_text(site, "thief", SCHEMA, {"freqexp.tokens": "pool = thief:C"})
    with pytest.raises(ConfigError, match=r"'bad'.*package badly 0\.1, package worse 0\.1"):
        compose(("compressor=bad",))
    with pytest.raises(ConfigError, match=r"'pool'.*built in, package thief 0\.1"):
        compose(("compressor=pool",))
    assert compose(("compressor=block_mean",)).compressor.name == "block_mean"
    (own / "compressor" / "block_mean.py").write_text(OWN.replace("first", "block_mean"))
    with pytest.raises(ConfigError, match=r"'block_mean'.*built in, file .*block_mean\.py"):
        collect([f"--config-dir={own}", "compressor=block_mean", f"output_dir={tmp_path}"])
    assert compose(("compressor=block_mean",)).compressor.name == "block_mean"


def test_a_codec_for_external_takes_no_option_s_name_away(site: Path) -> None:
    text = "class C:\n    encode = decode = staticmethod(bytes)\n"
    install_text(site, "plain", text, {"freqexp.codecs": "png = plain:C"})
    assert compose(("compressor=png",)).compressor.name == "png"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nothing_there", "No module named 'nothing_there'"),
        ("x = 1", "none at all"),
        (OWN.replace('"first"', '"last"'), "it has last"),
        ("def", "SyntaxError"),
    ],
)
def test_a_bad_file_is_named(own: Path, tmp_path: Path, text: str, why: str) -> None:
    (own / "compressor" / "first.py").write_text(text)
    flag = f"--config-dir={own}"
    with pytest.raises(ConfigError, match=rf"'first'.*{why}.*file .*first\.py") as caught:
        collect([flag, "compressor=first", f"output_dir={tmp_path}"])
    assert len(caught.value.faults) == 1
    assert collect([flag, "compressor=pool", f"output_dir={tmp_path}"])
