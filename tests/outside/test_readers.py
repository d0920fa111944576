"""Readers of installed packages: chosen, checked, run, conformed, copied with a sweep, saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from freqexp_cluster.snapshot import snapshot
from their_package import install_text

from freqexp.composing.compose import collect, compose
from freqexp.config.identity import all_outside, outside_code, run_id
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.conform.__main__ import main as conform
from freqexp.errors import ConfigError, UserError
from freqexp.memory.geometry import NoGeometryError, geometry_of
from freqexp.readers.load import load_reader
from freqexp.running.sweep import run_points
from freqexp.train.adapt.config import load as load_adapting

CHOSEN = ("model=outside", "model.source=blocks")
GROUP = "freqexp.readers"
PLAIN = """
import torch
from freqexp.nouns.vision import VisionTokens
from freqexp.readers.base import Answer, Reader

class R(Reader):
    @classmethod
    def load(cls, config):
        return cls()
    def encode(self, pages, signals=(), chooser=None):
        if not pages:
            raise ValueError
        return [VisionTokens(torch.ones(6, 2), (2, 3)) for _ in pages]
    def answer(self, question, vision):
        if not vision or int(vision[0].kept[-1]) > 5:
            raise ValueError
        kept = sum(len(page.kept) for page in vision)
        return Answer("a", False, 6 * len(vision), kept, kept + 1, None, 0.0, 0.0)
"""


def faults(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    return str(caught.value)


def test_a_reader_is_chosen_by_its_name(theirs: Path) -> None:
    cfg = compose([*CHOSEN, "model.settings.side=14", "render=glyph"])
    assert cfg.model.name == "blocks"
    assert type(load_reader(cfg.model)).__name__ == "BlockReader"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["model=outside"],
            "model.source: got '', allowed: a reader of an installed package (blocks)",
        ),
        (
            ["model=outside", "model.source=block"],
            "model.source: got 'block', allowed: a reader of",
        ),
        (["model.family=outside"], "model.family: got 'outside', allowed: what model=outside sets"),
        ([*CHOSEN, "model.family=glm4v"], "allowed: outside with model=outside"),
        ([*CHOSEN, "model.adapter=bundled"], "null for readers from outside, which load their own"),
        ([*CHOSEN, "model.path=ink/v2"], "model.revision"),
        ([*CHOSEN, "model.input=text"], "model.input: got 'text', allowed: pages for blocks"),
        ([*CHOSEN, "compressor=vispruner"], "families that give attention: glm4v,"),
        (
            [*CHOSEN, "compressor=pixel_prune", "compressor.where=encoder"],
            "pixel_prune before the encoder",
        ),
        ([*CHOSEN, "compressor=fastv"], "outside with compressor fastv inside the decoder"),
        ([*CHOSEN, "compressor=kivi"], "outside with compressor kivi on the KV cache"),
    ],
)
def test_what_it_cannot_is_refused_before_it_is_loaded(
    theirs: Path, overrides: list[str], said: str
) -> None:
    assert said in faults(*overrides)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1/0", "a reader that can be loaded (ZeroDivisionError: division by zero)"),
        ("R = 3", "a class below freqexp.readers.base.Reader"),
        ("class R: pass", "a class below freqexp.readers.base.Reader"),
        (PLAIN.replace("def load", "def make"), "a reader with a class method `load(config)`"),
    ],
)
def test_what_is_no_reader_is_refused_by_its_package(site: Path, text: str, said: str) -> None:
    install_text(site, "badly", text, {GROUP: "bad = badly:R"})
    message = faults("model=outside", "model.source=bad")
    assert message.startswith("model.source: got 'bad', allowed: ")
    assert said in message
    assert "this is of package badly 0.1" in message


@pytest.mark.parametrize("body", ["return 1/0", "return 7"])
def test_a_reader_that_does_not_load_is_named(site: Path, body: str) -> None:
    text = PLAIN.replace("return cls()", body)
    install_text(site, "badly", text, {GROUP: "bad = badly:R"})
    cfg = compose(["model=outside", "model.source=bad"])
    with pytest.raises(UserError, match=r"model\.source: got 'bad'.*of package badly 0\.1"):
        load_reader(cfg.model)


def test_two_packages_with_one_name(site: Path) -> None:
    for name in ("one", "two"):
        install_text(site, name, PLAIN, {GROUP: f"same = {name}:R"})
    said = faults("model=outside", "model.source=same")
    assert "a name of one reader; several have it: package one 0.1, package two 0.1" in said


def test_a_run_has_the_code_and_the_settings(theirs: Path) -> None:
    cfg = compose(CHOSEN)
    assert list(outside_code(cfg)) == ["model.source"]
    other = compose([*CHOSEN, "model.settings.side=14"])
    assert run_id(cfg) != run_id(other)


def test_other_code_is_another_run(site: Path) -> None:
    for name, columns in (("one", 3), ("two", 4)):
        text = PLAIN.replace("(2, 3)", f"(2, {columns})")
        install_text(site, name, text, {GROUP: f"{name} = {name}:R"})
    one, two = (compose(["model=outside", f"model.source={name}"]) for name in ("one", "two"))
    assert outside_code(one)["model.source"] != outside_code(two)["model.source"]


def test_its_folder_of_weights_is_part_of_the_id(theirs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "blocks.json").write_text("{}")
    chosen = [*CHOSEN, f"model.path={folder}"]
    before = run_id(compose(chosen))
    assert run_id(compose(CHOSEN)) != before
    (folder / "blocks.json").write_text("[]")
    assert run_id(compose(chosen)) != before


def test_a_sweep_of_methods_with_it(theirs: Path, tmp_path: Path) -> None:
    points = collect(
        [
            "-m",
            *CHOSEN,
            "compressor=none,pool,random_prune,norm_prune",
            "keep_ratio=0.5",
            "samples=2",
            f"output_dir={tmp_path}",
            "tracking=off",
        ]
    )
    rows = run_points([point.config for point in points], lambda cfg: ())
    by_name = {row.compressor: row for row in rows}
    assert {row.samples for row in rows} == {2}
    whole, half = by_name["none"], by_name["random_prune"]
    assert whole.vision_tokens_in == whole.vision_tokens_out
    assert half.vision_tokens_out is not None
    assert half.vision_tokens_out == pytest.approx((half.vision_tokens_in or 0) / 2, abs=2)
    folder = tmp_path / "runs" / half.run_id
    assert '"package": "their-methods"' in (folder / "provenance.json").read_text()


def test_a_saved_run_is_read_again(theirs: Path, tmp_path: Path) -> None:
    cfg = compose([*CHOSEN, "model.settings.side=14"])
    (tmp_path / "config.yaml").write_text(to_yaml(cfg))
    again = from_yaml(tmp_path / "config.yaml")
    assert again.model == cfg.model
    assert run_id(again) == run_id(cfg)


def test_it_travels_with_a_sweep(theirs: Path, tmp_path: Path) -> None:
    copy = snapshot(tmp_path / "sweep", all_outside(compose(CHOSEN)))
    assert list(copy.rglob("their_methods/blocks.py"))
    (points,) = copy.rglob("entry_points.txt")
    assert "[freqexp.readers]\nblocks = their_methods.blocks:BlockReader" in points.read_text()


def test_what_needs_a_model_of_this_package_refuses_it(theirs: Path, tmp_path: Path) -> None:
    from freqexp.paths import conf_dir

    with pytest.raises(NoGeometryError, match="its reader alone knows its sizes"):
        geometry_of(compose(CHOSEN).model)
    with pytest.raises(ConfigError, match="a family with a decoder, of this package"):
        load_adapting(conf_dir() / "train" / "adapt.yaml", [*CHOSEN, f"adapt.out={tmp_path}"])


def test_a_good_reader_conforms(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert conform(["blocks", "model.settings.side=20"]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "blocks (reader): 1 cases, 5 checks, 0 failed" in said
    assert "not checked, it says that it can't" in said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("torch.ones(6, 2)", "torch.ones(5, 2)", "features (5, 2) on a grid of 2 x 3"),
        ("torch.ones(6, 2)", "torch.rand(6, 2)", "other features again"),
        ("torch.ones(6, 2)", "torch.full((6, 2), len(pages) / 1)", "has other features than among"),
        ("kept, kept + 1", "6, kept + 1", "vision_tokens_out 6"),
        ("kept + 1", "60", "0 tokens shorter for"),
        ("kept + 1", "kept - 1", "decoder_tokens"),
        ('"a"', "str(__import__('time').perf_counter_ns())", "another answer again"),
        ("if not vision or int(vision[0].kept[-1]) > 5", "if not vision", "outside their grid"),
        ("    if not pages:\n", "    if False:\n", "encoded no pages"),
        ("    @classmethod", "    signals = ('pixels',)\n    @classmethod", "no signal pixels"),
        ("    @classmethod", "    reads_text = True\n    @classmethod", "NotImplementedError"),
    ],
)
def test_each_broken_promise_is_found(
    site: Path, before: str, after: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PLAIN.replace(before, after)
    assert text != PLAIN
    install_text(site, "mine", text, {GROUP: "mine = mine:R"})
    assert conform(["mine"]) == 1
    assert said in capsys.readouterr().out


def test_the_plain_one_has_no_fault(site: Path) -> None:
    install_text(site, "mine", PLAIN, {GROUP: "mine = mine:R"})
    assert conform(["mine"]) == 0
