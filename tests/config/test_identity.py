from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from freqexp.config import identity
from freqexp.config.identity import code_hash, run_id
from freqexp.config.run import RunConfig
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.errors import UserError
from freqexp.schemas.choices import Attention, Dtype, Fit, Form, Threshold
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.compressor import TokenConfig
from freqexp.schemas.method import CompressorConfig, NoneConfig
from freqexp.schemas.render import CellsRender, GlyphRender

Composed = Callable[..., RunConfig]


def test_an_id_is_sixteen_hex_digits_and_stable(composed: Composed, tmp_path: Path) -> None:
    cfg = composed("compressor=token")
    assert len(run_id(cfg)) == 16
    assert int(run_id(cfg), 16) >= 0
    saved = tmp_path / "config.yaml"
    saved.write_text(to_yaml(cfg))
    assert run_id(from_yaml(saved)) == run_id(cfg)


def test_where_and_how_a_run_is_shown_is_not_what_it_is(composed: Composed, tmp_path: Path) -> None:
    elsewhere = composed(
        "cluster.threads=1",
        "tracking=off",
        "wandb_project=other",
        "wandb_entity=someone",
        "sweep_name=other",
        "baseline=false",
    )
    moved = replace(composed(), output_dir=str(tmp_path / "other"))
    assert run_id(composed()) == run_id(elsewhere) == run_id(moved)


def test_what_can_change_a_score_changes_the_id(composed: Composed) -> None:
    cfg = composed()
    model, needles = cfg.model, cfg.needles
    others = [
        replace(cfg, seed=1),
        replace(cfg, samples=65),
        replace(cfg, keep_ratio=0.4),
        replace(cfg, needles=replace(needles, count=4)),
        replace(cfg, needles=replace(needles, turns=9)),
        replace(cfg, needles=replace(needles, form=Form.long)),
        replace(cfg, model=replace(model, dtype=Dtype.bfloat16)),
        replace(cfg, model=replace(model, max_new_tokens=65)),
        replace(cfg, model=replace(model, attention=Attention.eager)),
        replace(cfg, model=replace(model, render=CellsRender(font_px=20))),
        replace(cfg, model=replace(model, render=GlyphRender())),
        replace(cfg, compressor=NoneConfig()),
        replace(cfg, compressor=TokenConfig()),
        replace(cfg, compressor=BlockDctConfig(block=8)),
        replace(cfg, compressor=BlockDctConfig(fit=Fit.resize)),
        replace(cfg, compressor=BlockDctConfig(threshold=Threshold.block)),
    ]
    assert len({run_id(cfg), *map(run_id, others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("compressor", "keep_ratio_counts", "profile_counts"),
    [
        (NoneConfig(), False, False),
        (BlockDctConfig(), True, False),
        (TokenConfig(), True, True),
        (TokenConfig(prune=False), False, True),
        (TokenConfig(quantize=False), True, False),
    ],
)
def test_only_settings_a_compressor_looks_at_count(
    composed: Composed, compressor: CompressorConfig, keep_ratio_counts: bool, profile_counts: bool
) -> None:
    cfg = replace(composed(), compressor=compressor)
    kept = replace(cfg, keep_ratio=0.1)
    profiled = replace(cfg, profile=replace(cfg.profile, bits_low=3))
    assert (run_id(kept) != run_id(cfg)) is keep_ratio_counts
    assert (run_id(profiled) != run_id(cfg)) is profile_counts


def test_content_counts_and_its_path_does_not(composed: Composed, tmp_path: Path) -> None:
    cfg = composed()
    assert cfg.model.path is not None
    first = Path(cfg.model.path)
    second = Path(shutil.copytree(first, tmp_path / "copy"))
    copied = replace(cfg, model=replace(cfg.model, path=str(second)))
    assert run_id(copied) == run_id(cfg)
    (second / "model.safetensors").write_bytes(b"other weights")
    assert run_id(copied) != run_id(cfg)


def test_data_counts_and_its_path_does_not(composed: Composed, tmp_path: Path) -> None:
    ids = []
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        file = tmp_path / f"{name}.jsonl"
        file.write_text(text)
        cfg = composed()
        ids.append(run_id(replace(cfg, needles=replace(cfg.needles, path=str(file)))))
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_a_font_counts_by_its_content(composed: Composed, tmp_path: Path) -> None:
    ids = []
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
        ids.append(run_id(composed("render=glyph", f"model.render.font_path={tmp_path / name}")))
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]
    cfg = composed("render=glyph")
    gone = replace(cfg.model.render, font_path=str(tmp_path / "gone"))
    with pytest.raises(UserError, match="gone: can't be read"):
        run_id(replace(cfg, model=replace(cfg.model, render=gone)))


def test_code_counts_unless_it_cannot_change_a_score(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(identity.__file__).parents[1]
    before = code_hash()
    copy = tmp_path / "copy"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__", "models"))
    monkeypatch.setattr(identity, "__file__", str(copy / "config" / "identity.py"))

    def changed(name: str) -> bool:
        identity._code_hash.cache_clear()
        original = (copy / name).read_bytes()
        (copy / name).write_bytes(original + b"\n# changed\n")
        now = code_hash()
        (copy / name).write_bytes(original)
        identity._code_hash.cache_clear()
        return now != before

    uncounted = sorted(identity.NOT_IN_CODE_HASH)
    assert not any(changed(name) for name in uncounted)
    assert not changed("train/__main__.py")
    assert all(
        changed(name) for name in ("running/execute.py", "codecs/block_dct.py", "config/run.py")
    )
    (copy / "codecs" / "block_dct.py").rename(copy / "codecs" / "renamed.py")
    identity._code_hash.cache_clear()
    assert code_hash() != before
    identity._code_hash.cache_clear()


def test_every_module_that_does_not_count_exists() -> None:
    package = Path(identity.__file__).parents[1]
    assert all((package / name).is_file() for name in identity.NOT_IN_CODE_HASH)
    assert all((package / name).is_dir() for name in identity.NOT_IN_CODE_HASH_FOLDERS)
