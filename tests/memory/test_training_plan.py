"""What adapting will take, beside what is really made; and what `cluster.dry_run` prints."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from adapt_settings import TINY, YAML
from llava_checkpoint import build_checkpoint
from reader_checkpoints import configure, noise_pages

from freqexp.errors import DONE
from freqexp.memory.geometry import geometry_of
from freqexp.memory.training import (
    PEAK_FLOPS,
    SHARE_OF_PEAK,
    decoder_parameters,
    lora_parameters,
    training_plan,
)
from freqexp.nouns.teaching import Exercise
from freqexp.nouns.vision import keep_all
from freqexp.readers.adapters import layer_parameters
from freqexp.readers.adapting import lora
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Dtype, Family
from freqexp.schemas.model import ModelConfig
from freqexp.train.adapt import command
from freqexp.train.adapt.config import load
from freqexp.train.adapt.planning import plan, plan_text
from freqexp.train.adapt.student import Student

RANK = 3


def assert_counted(config: ModelConfig) -> None:
    reader: Any = load_reader(config)
    shape = geometry_of(config)
    decoder = layer_parameters(reader.model)
    assert decoder_parameters(shape) == sum(p.numel() for p in decoder.values())
    trained = lora(reader.model, RANK, RANK)
    assert lora_parameters(shape, RANK) == sum(p.numel() for p in trained)
    assert lora_parameters(shape, 0) == 0


def test_what_is_trained_is_what_is_made(loaded: Any) -> None:
    assert_counted(configure(loaded.kind, loaded.folder))


def test_what_is_trained_of_llava_is_what_is_made(tmp_path: Path, model_config: Any) -> None:
    folder = build_checkpoint(tmp_path / "llava")
    assert_counted(replace(model_config(folder), family=Family.llava_onevision))


def test_tokens_are_those_of_an_exercise(loaded: Any) -> None:
    config, pages = configure(loaded.kind, loaded.folder), noise_pages(loaded.kind, [(3, 4)])
    vision = [keep_all(page) for page in loaded.reader.encode(pages)]
    taught = loaded.reader.teach([Exercise(vision, [("What?", "a bee")])])
    text = taught.places.shape[1] - 12
    found = training_plan(config, [pages[0].shape[:2]], rank=RANK, answer_tokens=text, kept=0.5)
    assert (found.full, found.short) == (taught.places.shape[1], 6 + text)


def test_bytes_and_operations_are_sums(loaded: Any) -> None:
    config = configure(loaded.kind, loaded.folder)
    page = noise_pages(loaded.kind, [(3, 4)])[0].shape[:2]
    shape = geometry_of(config)

    def made(rank: int | None = RANK, **changes: Any) -> Any:
        return training_plan(config, [page], rank=rank, geometry=shape, **changes)

    one = made()
    assert one.trained == lora_parameters(shape, RANK)
    assert one.trained_bytes == 16 * one.trained
    assert one.weights_bytes == 4 * shape.parameters
    assert one.total_bytes == one.weights_bytes + one.trained_bytes + one.activations_bytes
    beside = made(compressor_parameters=1000)
    assert beside.trained == one.trained + 1000
    assert made(rank=0, compressor_parameters=1000).trained == 1000
    whole = made(rank=None)
    assert whole.trained == decoder_parameters(shape)
    assert whole.weights_bytes == 2 * one.weights_bytes
    assert whole.step_flops > one.step_flops
    assert made(kept=0.5).activations_bytes < one.activations_bytes
    assert made(recompute=True).activations_bytes < one.activations_bytes
    assert made(recompute=True).step_flops > one.step_flops
    assert made(conversations=2).activations_bytes == 2 * one.activations_bytes
    assert made(conversations=2, passes=3).step_flops == 6 * one.step_flops
    # Six operations for each weight and token, of them two without a gradient of the weight.
    by_hand = decoder_parameters(shape) * (2 * one.full + 4 * one.short)
    assert one.step_flops == by_hand
    peak = SHARE_OF_PEAK * PEAK_FLOPS["a100"]
    assert one.step_seconds("a100") == pytest.approx(one.step_flops / peak)
    half = training_plan(replace(config, dtype=Dtype.bfloat16), [page], rank=RANK, geometry=shape)
    assert half.weights_bytes == one.weights_bytes // 2
    # What is trained stays in float32.
    assert half.trained_bytes == one.trained_bytes


@pytest.mark.parametrize(
    "overrides",
    [
        ("compressor=merge",),
        ("compressor=merge", "compressor.form=attention", "compressor.start=pool"),
        ("compressor=merge", "adapt.model=nothing", "adapt.uncompressed=0"),
        ("compressor=token", "adapt.model=decoder"),
        ("compressor=none",),
    ],
)
def test_the_plan_of_a_training_is_that_of_its_student(overrides: tuple[str, ...]) -> None:
    config, run = load(YAML, overrides)
    student = Student(config, run)
    groups = [parameter for group in student.groups() for parameter in group["params"]]
    found = plan(config, run)
    assert found.trained == sum(parameter.numel() for parameter in groups)
    assert {str(parameter.dtype) for parameter in groups} == {"torch.float32"}
    assert found.conversations == 8
    assert found.passes == 1


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_without_the_hub_the_sizes_of_glyph_are_assumed_and_said_to_be(
    offline: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = ["model=glyph", f"model.revision={'0' * 40}", "compressor=merge"]
    given += ["cluster=a100x4", "cluster.dry_run=true"]
    out = tmp_path / "adapted"
    given += ["adapt.conversations=16", "adapt.per_pass=2", f"adapt.out={out}"]
    assert command.main(given) == DONE
    shown = capsys.readouterr().out
    assert "adapting glyph to merge" in shown
    assert "on each of 4 processes" in shown
    assert "the sizes of GLM-4.1V-9B are assumed" in shown
    # A LoRA of rank 16 on every linear layer of 40, and one map of 2 x 4096 channels to 4096.
    sides = 2 * (4096 + 4096) + 2 * (4096 + 256) + (4096 + 2 * 13696) + (13696 + 4096)
    trained = 40 * 16 * sides + 4096 * 2 * 4096
    assert f"{trained / 1e6:.1f} million parameters" in shown
    # Four processes share the conversations of a step.
    (hours, together) = re.findall(r"([\d.]+) (?:h for 400 steps|GPU-hours)", shown)
    assert float(together) == pytest.approx(4 * float(hours), abs=0.3)
    assert "#SBATCH --gpus-per-node=4" in shown
    assert "--job-name=freqexp-adapt-adapted" in shown
    # Nothing was submitted, nothing is there.
    assert not out.exists()


def test_a_plan_here_is_printed_and_nothing_is_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "adapted"
    given = [*TINY, "compressor=merge", "cluster.dry_run=true", f"adapt.out={out}"]
    assert command.main(given) == DONE
    shown = capsys.readouterr().out
    assert "can't be checked" in shown
    assert "time: unknown for this device" in shown
    assert "assumed" not in shown
    assert "sbatch" not in shown
    assert not out.exists()


def test_what_can_not_be_known_is_said_to_be_unknown(offline: None) -> None:
    text = plan_text(*load(YAML, ["model=qwen2_5_vl_3b", "compressor=merge"]))
    assert "memory and cost: unknown" in text
    assert "no config" in text
