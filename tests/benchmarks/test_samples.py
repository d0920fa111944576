"""Where a run's samples come from."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from freqexp.benchmarks import samples as samples_module
from freqexp.benchmarks.generate import generate, generator_hash, save
from freqexp.benchmarks.samples import load_samples, samples_hash
from freqexp.errors import ConfigError
from freqexp.schemas.choices import Form, Text
from freqexp.schemas.needles import NeedlesConfig


def test_generated_without_a_path() -> None:
    assert load_samples(NeedlesConfig(count=2), 5, 3) == generate(2, 5, 3, "short")
    needles = NeedlesConfig(count=4, form=Form.long, turns=9, target_chars=3000)
    assert load_samples(needles, 2, 0) == generate(4, 2, 0, "long", turns=9, target_chars=3000)
    needles = NeedlesConfig(count=2, near=0.25, text=Text.random)
    assert load_samples(needles, 2, 0) == generate(2, 2, 0, "short", near=0.25, text="random")


def test_read_with_a_path(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.json"
    save(generate(2, 6, 0, "short"), path)
    needles = NeedlesConfig(count=2, path=str(path))
    four = load_samples(needles, 4, 0)
    assert len(four) == 4
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        everything = load_samples(needles, 64, 0)
    assert len(everything) == 6
    assert everything[:4] == four
    assert "6 of 64 samples asked for" in caplog.text
    assert load_samples(needles, 6, 1) != everything


@pytest.mark.parametrize("form", [Form.short, Form.long])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_first_samples_are_the_same_however_many_are_asked_for(
    form: Form, seed: int, tmp_path: Path
) -> None:
    """A run grows by asking for more: what it has answered must stay what it was."""
    needles = NeedlesConfig(count=4, form=form)
    many = load_samples(needles, 12, seed)
    path = tmp_path / "twice.json"
    save([*many, *many[:5]], path)  # the same sample twice: each has an id of its own
    from_file = NeedlesConfig(count=4, path=str(path))
    everything = load_samples(from_file, 17, seed)
    assert len({sample.sample_id for sample in everything}) == 17
    for count in (1, 5, 11):
        assert load_samples(needles, count, seed) == many[:count]
        assert load_samples(from_file, count, seed) == everything[:count]


def test_bucket_without_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"needles\.bucket: got '4096-8192', allowed: null for"):
        load_samples(NeedlesConfig(count=2, bucket="4096-8192"), 1, 0)


def test_hash_is_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert samples_hash(NeedlesConfig(count=2)) == generator_hash()
    path = tmp_path / "x.json"
    save(generate(2, 2, 0, "short"), path)
    plain = NeedlesConfig(count=2, path=str(path))
    before = samples_hash(plain)
    moved = path.rename(tmp_path / "y.json")
    assert samples_hash(NeedlesConfig(count=2, path=str(moved))) == before

    # What falls into a bucket depends on how lengths are counted.
    in_bucket = NeedlesConfig(count=2, path=str(moved), bucket="4096-8192")
    counted = samples_hash(in_bucket)
    monkeypatch.setattr(samples_module, "ENCODING", "another")
    assert len({before, counted, samples_hash(in_bucket)}) == 3


def test_nothing_heavy_is_imported_for_the_hash() -> None:
    script = (
        "import sys, types\n"
        "from freqexp.benchmarks.samples import samples_hash\n"
        "import freqexp.benchmarks.generate, freqexp.benchmarks.mrcr, freqexp.nouns.render\n"
        "samples_hash(types.SimpleNamespace(path=None, source=None, count=2, bucket=None))\n"
        "heavy = {'torch', 'transformers', 'wandb', 'scipy', 'pandas', 'PIL', 'pyarrow',"
        " 'chitchat_dataset', 'matplotlib', 'bpe_openai'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
