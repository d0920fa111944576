"""Weights of learned token compressors as files: what is written is read, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from freqexp.composing.compose import compose
from freqexp.config.identity import run_id
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.learned import LearnedCompressor
from freqexp.tokens.merge import Merge
from freqexp.tokens.token_vq import TokenVq
from freqexp.tokens.trained.settings import MergeSettings, VqSettings
from freqexp.tokens.trained.weights import FILE, header

CHANNELS = 8


def page(seed: int = 0, channels: int = CHANNELS) -> VisionTokens:
    generator = torch.Generator().manual_seed(seed)
    return VisionTokens(torch.randn(24, channels, generator=generator), (4, 6))


def trained(made: LearnedCompressor, seed: int = 1, channels: int = CHANNELS) -> LearnedCompressor:
    """With other parameters than those it begins with, and codebooks where it has such."""
    generator = torch.Generator().manual_seed(seed)
    made.start([page(number, channels) for number in range(8)])
    with torch.no_grad():
        for parameter in made.network(channels).parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return made


def merge(form: str = "linear", weights: str | None = None, **changed: object) -> Merge:
    given = {"form": form, "start": "pool", "heads": 2, **changed}
    return Merge(MergeSettings(**given), weights)  # type: ignore[arg-type]


def vq(weights: str | None = None, **changed: object) -> TokenVq:
    given = {"codes": 8, "merge": MergeSettings(start="pool"), **changed}
    return TokenVq(VqSettings(**given), weights)  # type: ignore[arg-type]


MAKERS: dict[str, Callable[[str | None], LearnedCompressor]] = {
    "linear": lambda weights: merge("linear", weights),
    "dct": lambda weights: merge("dct", weights, rows=2, rank=3),
    "attention": lambda weights: merge("attention", weights),
    "vq": lambda weights: vq(weights),
    "vq in bands": lambda weights: vq(weights, domain="dct", center=False, edge_low=1.5),
    "vq of tokens": lambda weights: vq(weights, kind="additive", merge=MergeSettings(columns=1)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_saved_is_loaded(name: str, tmp_path: Path) -> None:
    one = trained(MAKERS[name](None))
    path = one.save(tmp_path / "deep" / "folder")
    assert path == tmp_path / "deep" / "folder" / FILE
    other = MAKERS[name](str(path.parent))
    assert torch.equal(other.compress(page()).features, one.compress(page()).features)
    assert not torch.equal(
        MAKERS[name](None).compress(page()).features, one.compress(page()).features
    )
    again = other.save(tmp_path)
    assert again.read_bytes() == path.read_bytes()
    said = header(str(tmp_path))
    assert (said.method, said.channels, said.grid) == (one.method, CHANNELS, one.grid)
    assert said.settings == json.loads(json.dumps(dict(one.settings)))


def test_there_is_nothing_to_save_before_tokens_were_seen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no parameters before tokens were seen"):
        merge().save(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file"):
        trained(merge()).save(tmp_path / "file")


def test_every_other_setting_is_a_fault_of_its_own(tmp_path: Path) -> None:
    trained(merge("dct", rows=2, rank=3)).save(tmp_path)
    folder = str(tmp_path)
    with pytest.raises(ConfigError) as caught:
        merge("dct", folder, rows=3, columns=1, rank=2)
    assert [line.split(" (")[0] for line in caught.value.faults] == [
        "compressor.columns: got 1, allowed: 2",
        "compressor.rank: got 2, allowed: 3",
        "compressor.rows: got 3, allowed: 2",
    ]
    assert "what the weights in" in caught.value.faults[0]
    with pytest.raises(ConfigError) as caught:
        merge("linear", folder, rows=2)
    assert [line.split(": ")[0] for line in caught.value.faults] == [
        "compressor.form",
        "compressor.weights",
        "compressor.weights",
    ]
    options = ("compressor=merge", f"compressor.weights={folder}", "compressor.form=dct")
    with pytest.raises(ConfigError) as caught:
        compose((*options, "compressor.rank=3"))
    (line,) = caught.value.faults
    assert line.startswith("compressor.rows: got 1, allowed: 2")
    assert compose((*options, "compressor.rank=3", "compressor.rows=2"))
    with pytest.raises(ConfigError) as caught:
        compose(("compressor=combined", "token=merge", f"compressor.token.weights={folder}"))
    assert all(line.startswith("compressor.token.") for line in caught.value.faults)


def test_settings_of_codebooks_are_compared(tmp_path: Path) -> None:
    trained(vq()).save(tmp_path)
    folder, merge = str(tmp_path), MergeSettings(columns=3, form="dct", start="pool")
    with pytest.raises(ConfigError) as caught:
        vq(folder, kind="additive", codes=16, books=3, center=False, merge=merge)
    assert [line.split(" (")[0] for line in caught.value.faults] == [
        "compressor.books: got 3, allowed: 2",
        "compressor.center: got False, allowed: True",
        "compressor.codes: got 16, allowed: 8",
        "compressor.columns: got 3, allowed: 2",
        "compressor.kind: got 'additive', allowed: 'residual'",
        "compressor.merge.form: got 'dct', allowed: 'linear'",
        f"compressor.weights: got '{folder}', allowed: weights that say merge.high",
        f"compressor.weights: got '{folder}', allowed: weights that say merge.rank",
    ]
    with pytest.raises(ConfigError, match=r"weights of merge \(these: token_vq\)"):
        Merge(weights=folder)
    # What training alone is concerned with may differ.
    assert vq(folder, commitment=1.0, decay=0.5, expire=2.0, beam=3)


def test_frozen_codebooks_stay_frozen_and_for_their_grid(tmp_path: Path) -> None:
    one = trained(vq())
    assert isinstance(one, TokenVq)
    one.freeze([page(number) for number in range(8)])
    one.save(tmp_path)
    other = vq(str(tmp_path))
    network = other.network(CHANNELS)
    assert bool(network.state_dict()["frozen"])
    assert other.grid == (4, 6)
    assert other.compress(page()).stored_bytes == one.compress(page()).stored_bytes
    turned = VisionTokens(page().features, (6, 4))
    with pytest.raises(UserError, match=r"a page of \(6, 4\) tokens"):
        other.compress(turned)


def test_codebooks_that_were_never_begun_or_can_not_be(tmp_path: Path) -> None:
    never = vq(merge=MergeSettings(columns=1))
    never.compress(page())
    never.save(tmp_path)
    with pytest.raises(UserError, match=r"bands.0.codes is all zero"):
        vq(str(tmp_path), merge=MergeSettings(columns=1)).compress(page())
    trained(vq()).save(tmp_path)
    tensors, said = load_file(tmp_path / FILE), header(str(tmp_path))
    tensors["bands.0.tables"] += 200
    save_file(tensors, tmp_path / FILE, {"compressor": json.dumps(vars(said))})
    with pytest.raises(UserError, match="a class or a probability that no prior has"):
        vq(str(tmp_path)).compress(page())


def test_tokens_of_other_channels(tmp_path: Path) -> None:
    trained(merge()).save(tmp_path)
    made = merge(weights=str(tmp_path))
    with pytest.raises(
        UserError, match=r"\(for tokens of 8 channels\)', allowed: .* of 6 channels"
    ):
        made.compress(page(channels=6))


def damage(folder: Path, what: str) -> None:
    file = folder / FILE
    tensors = load_file(file)
    said = {"compressor": json.dumps(vars(header(str(folder))))}
    name = sorted(tensors)[0]
    match what:
        case "gone":
            file.unlink()
            return
        case "text":
            file.write_text("weights?")
            return
        case "cut":
            file.write_bytes(file.read_bytes()[:-100])
            return
        case "silent":
            said = {"other": "{}"}
        case "method":
            said = {"compressor": said["compressor"].replace('"merge"', '"token"')}
        case "size":
            said = {"compressor": said["compressor"].replace('"channels": 8', '"channels": 0')}
        case "missing":
            del tensors[name]
        case "unexpected":
            tensors["another"] = torch.ones(1)
        case "shape":
            tensors[name] = tensors[name][:-1].clone()
        case "kind":
            tensors[name] = tensors[name].half()
        case "nan":
            tensors[name].view(-1)[0] = float("nan")
        case "zero":
            tensors[name].zero_()
    save_file(tensors, file, said)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("gone", "No such file"),
        ("text", "its header says nothing of a compressor"),
        ("silent", "its header says nothing of a compressor"),
        ("size", "its header says nothing of a compressor"),
        ("method", r"weights of merge \(these: token\)"),
        ("cut", ""),
        ("missing", "weight is missing"),
        ("unexpected", "another is no tensor of this compressor"),
        ("shape", r"weight is of \[7, 16\], not \[8, 16\]"),
        ("kind", "weight is torch.float16, not torch.float32"),
        ("nan", "weight holds NaN or infinity"),
        ("zero", "weight is all zero"),
    ],
)
def test_files_that_are_no_weights_of_this_compressor(tmp_path: Path, what: str, why: str) -> None:
    trained(merge()).save(tmp_path)
    damage(tmp_path, what)
    with pytest.raises(UserError, match=rf"compressor.weights: got '{tmp_path}', allowed: .*{why}"):
        merge(weights=str(tmp_path)).compress(page())


def test_weights_count_by_their_content(tmp_path: Path) -> None:
    """Alone and in a combination, wherever the folder is."""
    ids = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained(merge(), seed).save(tmp_path / name)
        alone = ("compressor=merge", f"compressor.weights={tmp_path / name}")
        both = ("compressor=combined", "token=merge", f"compressor.token.weights={tmp_path / name}")
        ids.append((run_id(compose(alone)), run_id(compose(both))))
    assert ids[0] == ids[1]
    assert ids[0][0] != ids[2][0]
    assert ids[0][1] != ids[2][1]
    assert run_id(compose(("compressor=merge",))) not in {one for one, _ in ids}


def test_headers_are_read_without_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    trained(merge()).save(tmp_path)
    code = (
        "import sys; from freqexp.tokens.trained.weights import differences, header;"
        f"print(header({str(tmp_path)!r}).channels, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["8", "False"]
