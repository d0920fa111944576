from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from freqexp.answering.sources import source_hashes
from freqexp.config import identity
from freqexp.config.identity import code_hash, run_id
from freqexp.config.run import RunConfig
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.errors import UserError
from freqexp.pages.glyph import default_font_path
from freqexp.paths import package_dir
from freqexp.schemas.choices import Attention, Dtype, Fit, Form, Threshold
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.method import CompressorConfig, NoneConfig
from freqexp.schemas.render import CellsRender, GlyphRender
from freqexp.schemas.tokens import TokenConfig

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
        "tags=[a,b]",
        "notes=why",
        "baseline=false",
        "samples=65",
    )
    moved = replace(composed(), output_dir=str(tmp_path / "other"))
    assert run_id(composed()) == run_id(elsewhere) == run_id(moved)


def test_what_can_change_a_score_changes_the_id(composed: Composed) -> None:
    cfg = composed()
    model, needles = cfg.model, cfg.needles
    others = [
        replace(cfg, seed=1),
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


def test_an_adapter_counts_by_its_content(composed: Composed, tmp_path: Path) -> None:
    cfg, ids = composed(), []
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "decoder.safetensors").write_bytes(content)
        (folder / "adapt.json").write_text(f'{{"note": "{name}"}}')
        ids.append(run_id(replace(cfg, model=replace(cfg.model, adapter=str(folder)))))
    assert ids[0] == ids[1]
    assert len({run_id(cfg), *ids}) == 3
    assert "adapter" not in identity.identity(cfg)["model"]
    adapted = replace(cfg, model=replace(cfg.model, adapter=str(tmp_path / "a")))
    assert identity.identity(adapted)["model"]["adapter"] == source_hashes(adapted)["adapter_hash"]
    assert "adapter_hash" not in source_hashes(cfg)
    gone = replace(cfg, model=replace(cfg.model, adapter=str(tmp_path / "gone")))
    with pytest.raises(UserError, match=r"^model\.adapter: got .*gone', allowed: .*a folder that"):
        run_id(gone)


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
    font = default_font_path().read_bytes()
    for name, content in (("a", font), ("b", font), ("c", font + b"2")):
        (tmp_path / name).write_bytes(content)
        ids.append(run_id(composed("render=glyph", f"model.render.font_path={tmp_path / name}")))
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]
    cfg = composed("render=glyph")
    gone = replace(cfg.model.render, font_path=str(tmp_path / "gone"))
    with pytest.raises(UserError, match="gone: can't be read"):
        run_id(replace(cfg, model=replace(cfg.model, render=gone)))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, to be edited and put back."""
    copy = tmp_path_factory.mktemp("code") / "freqexp"
    unwanted = shutil.ignore_patterns("__pycache__", "models")
    return Path(shutil.copytree(package_dir(), copy, ignore=unwanted))


def edited(package: Path, name: str, edit: Callable[[str], str]) -> bool:
    """Whether the hash of the code is another one after `edit` of a module."""
    file = package / name
    original = file.read_text()
    changed = edit(original)
    assert changed != original
    file.write_text(changed)
    identity._code_hash.cache_clear()
    try:
        return code_hash(package) != code_hash()
    finally:
        file.write_text(original)
        identity._code_hash.cache_clear()


def modules(package: Path, room: str) -> list[str]:
    files = sorted((package / room).rglob("*.py"))
    return [file.relative_to(package).as_posix() for file in files if file.stem != "__init__"]


def test_a_copy_has_the_same_code(package: Path) -> None:
    assert code_hash(package) == code_hash()


@pytest.mark.parametrize("room", identity.ROOMS)
def test_in_a_room_that_counts_code_changes_the_id_and_talk_does_not(
    package: Path, room: str
) -> None:
    for name in modules(package, room):
        assert not edited(package, name, lambda text: f'"""Other words."""\n# A comment.\n{text}')
    first = modules(package, room)[0]
    assert edited(package, first, lambda text: f"{text}\nANSWER = 42\n")
    assert not edited(package, first, lambda text: f"{text}\n\n# The answer.\n")


def test_no_other_room_counts(package: Path) -> None:
    rooms = {folder.name for folder in package.iterdir() if (folder / "__init__.py").exists()}
    assert set(identity.ROOMS) < rooms
    for room in sorted(rooms - set(identity.ROOMS)):
        assert not edited(package, modules(package, room)[0], lambda text: f"{text}\nANSWER = 42\n")
    for file in package.glob("*.py"):
        assert not edited(package, file.name, lambda text: f"{text}\nANSWER = 42\n")


def test_a_constant_a_docstring_and_a_hint_of_a_codec(package: Path) -> None:
    name = "codecs/block_dct_exact.py"
    assert edited(package, name, lambda text: text.replace("2.0**12", "2.0**13"))
    assert not edited(package, name, lambda text: text.replace('    """', '    """Well: ', 1))
    assert not edited(package, name, lambda text: text.replace("tuple[Pixels, float]", "object"))


def test_a_renamed_module_is_other_code(package: Path) -> None:
    file = package / "codecs" / "block_dct.py"
    identity._code_hash.cache_clear()
    renamed = file.rename(file.with_name("renamed.py"))
    assert code_hash(package) != code_hash()
    renamed.rename(file)
    identity._code_hash.cache_clear()
