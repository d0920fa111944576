"""The command that holds a method to its stage: good methods pass, each bad one is caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from freqexp.conform.__main__ import main

CODEC = """
import zlib
from dataclasses import dataclass
import numpy as np
from freqexp.codecs.base import Codec, Payload
from freqexp.coding.bitstream import BitstreamError
from freqexp.schemas.codecs import CodecConfig

@dataclass
class C(CodecConfig):
    name: str = "mine"
    @property
    def uses_keep_ratio(self):
        return False
    def build(self, keep_ratio, profile):
        return M()

class M(Codec):
    name = "mine"
    def store(self, pixels):
        return Payload(b"", (zlib.compress(pixels.tobytes()),))
    @classmethod
    def restore(cls, stream):
        try:
            data = zlib.decompress(stream.sections[0])
            if stream.parameters:
                raise ValueError
            return np.frombuffer(data, np.uint8).reshape(stream.shape).copy()
        except (zlib.error, ValueError) as error:
            raise BitstreamError(f"mine: {error}") from error
"""
TOKENS = """
from dataclasses import dataclass
import torch
from freqexp.schemas.method import CompressorConfig
from freqexp.tokens.scorer import Scorer

@dataclass
class C(CompressorConfig):
    name: str = "mine"
    stage = "token"
    def build(self, keep_ratio, profile):
        return M(keep_ratio)

class M(Scorer):
    def score(self, tokens):
        return tokens.features.double().norm(dim=1)
"""
CACHE = """
from dataclasses import dataclass
from freqexp.coding.grid import on_grid
from freqexp.kv.evict import Evictor
from freqexp.schemas.kv import EvictConfig

@dataclass
class C(EvictConfig):
    name: str = "mine"
    def build(self, keep_ratio, profile):
        return M(self.eviction(keep_ratio))

class M(Evictor):
    def score(self, layer):
        return on_grid(-layer.keys.double().norm(dim=2), 20)
"""


def conform(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and words of the command for a file `mine.py` with this text."""
    (folder / "compressor").mkdir(exist_ok=True)
    (folder / "compressor" / "mine.py").write_text(text)
    code = main(["mine", "--config-dir", str(folder)])
    shown = capsys.readouterr()
    return code, shown.out + shown.err


@pytest.mark.parametrize("text", [CODEC, TOKENS, CACHE], ids=["codec", "tokens", "cache"])
def test_a_method_of_a_file_passes(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = conform(tmp_path, text, capsys)
    assert code == 0, shown
    assert "mine (" in shown
    assert " 0 failed" in shown
    assert "FAILED" not in shown


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        (CODEC, 'name = "mine"\n    def store', 'name = "other"\n    def store', "name is 'other'"),
        (CODEC, 'name = "mine"\n    def store', "code = 3\n    def store", "code is 3"),
        (CODEC, "pixels.tobytes()", "(pixels // 2).tobytes()", "pixels are lost"),
        (CODEC, "(zlib.error, ValueError)", "RuntimeError", "not BitstreamError"),
        (CODEC, "return False", "return True", "against uses_keep_ratio"),
        (TOKENS, "tokens.features.double()", "tokens.features.mul_(2)", "the input was changed"),
        (TOKENS, "tokens.features.double().norm(dim=1)",
         "torch.rand(len(tokens.features))", "another result again"),
        (TOKENS, "tokens.features.double()", 'tokens.signals["keys"].double()', "KeyError"),
        (TOKENS, "return tokens", "return -tokens", ""),
        (TOKENS, ".norm(dim=1)", "", "scores: got shape [144, 16], allowed: [144]"),
        (TOKENS, "M(keep_ratio)", "M(0.5)", "tokens stay, allowed"),
        (CACHE, "self.eviction(keep_ratio)", "self.eviction(0.5)", "stay, not"),
        (CACHE, "class M(Evictor):", "class M(Evictor):\n    queries = 4", "queries is 4"),
    ],
)  # fmt: skip
def test_a_method_that_breaks_a_promise_is_caught(
    text: str,
    old: str,
    new: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert old in text
    code, shown = conform(tmp_path, text.replace(old, new), capsys)
    assert code == bool(said), shown
    assert said in shown
    assert shown.count("FAILED mine") >= bool(said)


def test_bad_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["combined"], "NAME: got 'combined', allowed: a method that acts at one stage"),
        (["nothing"], "compressor: got 'nothing', allowed: "),
        (["pool", "keep_ratio"], "override: got 'keep_ratio', allowed: key=value"),
        (["pool", "--config-dir", str(tmp_path / "none")], "allowed: a folder"),
        (["norm_prune", "compressor.keep=middle"], "compressor.keep: got 'middle', allowed: "),
    ):
        assert main(arguments) == 2
        assert said in capsys.readouterr().err
