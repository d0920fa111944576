from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_fakes
import torch
from run_fakes import Counting

from freqexp.answering.cache import held_bytes
from freqexp.answering.encodings import ABANDONED_SECONDS, DiskEncodings, encoder_key
from freqexp.config.identity import identity
from freqexp.errors import UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.results.record_file import load_records
from freqexp.running.execute import execute, run_folder
from freqexp.running.progress import Lines
from freqexp.schemas.choices import Attention, Dtype
from freqexp.schemas.tokens import TokenConfig

PAGE_BYTES = 12 * 8 * 4


def encoding(seed: int = 0, dtype: torch.dtype = torch.float32, levels: int = 0) -> Any:
    """Two pages of 3 x 4 and 1 x 5 tokens with every kind of bit pattern a float can have."""
    random = np.random.default_rng(seed)

    def features(count: int) -> torch.Tensor:
        bits = random.integers(0, 256, count * 8 * dtype.itemsize, dtype=np.uint8)
        return torch.from_numpy(bits).view(dtype).view(count, 8)

    return [
        VisionTokens(
            features(rows * columns),
            (rows, columns),
            tuple(features(rows * columns) for _ in range(levels)),
        )
        for rows, columns in ((3, 4), (1, 5))
    ]


def bits(vision: Any) -> list[Any]:
    tensors = [t for page in vision for t in (page.features, *page.deepstack)]
    return [(t.dtype, t.shape, bytes(t.view(torch.uint8).numpy())) for t in tensors]


@pytest.fixture
def disk(tmp_path: Path) -> DiskEncodings:
    return DiskEncodings(tmp_path / "cache", "encoder", 1 << 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("levels", [0, 3])
def test_what_comes_back_is_equal_bit_by_bit(
    disk: DiskEncodings, dtype: torch.dtype, levels: int
) -> None:
    vision = encoding(1, dtype, levels)
    assert disk.get("pages") is None
    disk.put("pages", vision)
    found = disk.get("pages")
    assert found is not None
    assert bits(found) == bits(vision)
    assert [page.grid for page in found] == [(3, 4), (1, 5)]
    assert [len(page.deepstack) for page in found] == [levels, levels]


def test_a_view_does_not_bring_its_storage_along(disk: DiskEncodings) -> None:
    whole = torch.arange(10_000 * 8, dtype=torch.float32).view(-1, 8)
    page = VisionTokens(whole[5:17], (3, 4))
    disk.put("pages", [page])
    assert disk.path("pages").stat().st_size < 2 * PAGE_BYTES
    (found,) = disk.get("pages") or []
    assert torch.equal(found.features, whole[5:17])
    assert held_bytes([page]) == whole.nbytes
    assert held_bytes([page, page]) == whole.nbytes


def test_another_encoder_does_not_find_it(disk: DiskEncodings, tmp_path: Path) -> None:
    disk.put("pages", encoding())
    assert DiskEncodings(tmp_path / "cache", "other", 1 << 20).get("pages") is None
    assert disk.get("other pages") is None


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    import os

    one = DiskEncodings(tmp_path / "probe", "encoder", 1 << 20)
    one.put("a", encoding())
    size = one.path("a").stat().st_size
    disk = DiskEncodings(tmp_path / "cache", "encoder", int(3.5 * size))
    for age, name in enumerate("abc"):
        disk.put(name, encoding(age))
        os.utime(disk.path(name), (1_000 + age, 1_000 + age))
    assert disk.get("a") is not None
    disk.put("d", encoding(4))
    assert [name for name in "abcd" if disk.path(name).exists()] == ["a", "c", "d"]
    used = sum(path.stat().st_size for path in (tmp_path / "cache").iterdir())
    assert used <= 3.5 * size


def test_what_has_no_room_is_not_kept(tmp_path: Path) -> None:
    disk = DiskEncodings(tmp_path / "cache", "encoder", PAGE_BYTES)
    disk.put("pages", encoding())
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other"])
def test_a_damaged_file_is_removed_with_a_warning(disk: DiskEncodings, damage: str) -> None:
    disk.put("pages", encoding(dtype=torch.bfloat16))
    path = disk.path("pages")
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    damaged = {"cut": data[:-5], "bit": data, "empty": b"", "other": b"not a tensor"}[damage]
    path.write_bytes(bytes(damaged))
    with pytest.warns(UserWarning, match="damaged, is made again"):
        assert disk.get("pages") is None
    assert not path.exists()
    assert disk.get("pages") is None


def test_leftovers_of_killed_processes_go(disk: DiskEncodings) -> None:
    import os
    import time

    old, new = (disk.path("x").with_suffix(f".{pid}.partial") for pid in (1, 2))
    for path in (old, new):
        path.write_bytes(b"half")
    long_ago = time.time() - 2 * ABANDONED_SECONDS
    os.utime(old, (long_ago, long_ago))
    disk.put("pages", encoding())
    assert (old.exists(), new.exists()) == (False, True)


def test_a_full_disk_costs_a_warning(disk: DiskEncodings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("freqexp.answering.encodings.os.replace", full)
    with pytest.warns(UserWarning, match="not kept .No space left"):
        disk.put("pages", encoding())
    assert list(disk.path("pages").parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        DiskEncodings(tmp_path / "file" / "cache", "encoder", 1 << 20)


WORKER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_encodings import encoding, bits
from freqexp.answering.encodings import DiskEncodings
disk = DiskEncodings(Path(sys.argv[1]), "encoder", 4000)
for turn in range(150):
    name = str(turn % 7)
    found = disk.get(name)
    if found is None:
        disk.put(name, encoding(turn % 7))
    else:
        assert bits(found) == bits(encoding(turn % 7))
"""


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    """With room for few files, both write, read and remove the same names all the time."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        WORKER,
        str(tmp_path),
        str(Path(__file__).parent),
        str(Path(run_fakes.__file__).parent),
    ]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert (worker.returncode, errors) == (0, b"")
    assert not list(tmp_path.glob("*.partial"))


def test_the_key_covers_what_decides_the_bits() -> None:
    model = run_fakes.MODEL
    key = encoder_key(model, "weights")
    same = replace(model, name="x", path="/elsewhere", max_new_tokens=3, batch_size=4)
    assert encoder_key(same, "weights") == key
    # An adapter changes the decoder alone.
    assert encoder_key(replace(model, adapter="/elsewhere"), "weights") == key
    others = [
        encoder_key(model, "other weights"),
        encoder_key(replace(model, dtype=Dtype.bfloat16), "weights"),
        encoder_key(replace(model, attention=Attention.eager), "weights"),
        encoder_key(replace(model, max_pixels=10_000), "weights"),
    ]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        others.append(encoder_key(model, "weights"))
    finally:
        torch.set_num_threads(threads)
    assert len({key, *others}) == 6


def test_later_runs_find_the_encodings_of_earlier_ones(config: Any, counting: Counting) -> None:
    cfg = config(encodings_cache_gb=0.1)
    execute(cfg, counting.session(), Lines(io.StringIO()))
    token = replace(cfg, compressor=TokenConfig(transform=False, quantize=False), keep_ratio=1.0)
    later = Counting()
    execute(token, later.session(), Lines(io.StringIO()))
    assert later.reader.encoded == []
    records = load_records(run_folder(token, run_fakes.fake_run_id(token)) / "records.jsonl")
    assert all(record.encode_ms is None for record in records)
    for ours, theirs in zip(later.reader.features, counting.reader.features, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    off = Counting()
    elsewhere = str(Path(cfg.output_dir) / "elsewhere")
    execute(
        replace(token, encodings_cache_gb=0.0, output_dir=elsewhere),
        off.session(),
        Lines(io.StringIO()),
    )
    assert len(off.reader.encoded) == 6


def test_the_cache_is_no_part_of_a_runs_identity(config: Any) -> None:
    cfg = config(compressor=TokenConfig())
    assert identity(cfg) == identity(replace(cfg, encodings_cache_gb=5.0))
