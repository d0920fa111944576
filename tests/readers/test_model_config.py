"""The options of conf/model and the ranges of their schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from freqexp.composing.compose import compose
from freqexp.errors import ConfigError
from freqexp.paths import conf_dir
from freqexp.schemas.choices import Attention, Device, Dtype, Family
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.ranges import COMMIT

OPTIONS = sorted(file.stem for file in (conf_dir() / "model").glob("*.yaml"))
PINNED = [name for name in OPTIONS if name not in ("api", "outside")]
INSTALLED = ("ppocr", "tiny")
QUIET = "tracking=off"
PIN = "model.revision=" + "0" * 40
TRUST = "model.trust_remote_code=true"


def test_the_options_are_all_there() -> None:
    names = (
        "api glm41v_9b glm4v_9b glyph llava_onevision_7b outside ppocr qwen2_5_vl_3b "
        "qwen2_5_vl_7b qwen3_vl_8b tiny"
    )
    assert " ".join(OPTIONS) == names


@pytest.mark.parametrize("option", [name for name in PINNED if name not in INSTALLED])
def test_a_hub_model_composes_pinned_or_from_a_folder(option: str, tmp_path: Path) -> None:
    consent = [TRUST] if option == "glm4v_9b" else []
    model = compose([f"model={option}", QUIET, PIN, *consent]).model
    assert model.name == option
    assert (model.dtype, model.batch_size) == (Dtype.bfloat16, 1)
    assert model.render.name == "glyph"
    assert model.max_new_tokens >= 2048
    on_disk = compose([f"model={option}", QUIET, f"model.path={tmp_path}", *consent]).model
    assert on_disk.path == str(tmp_path)


@pytest.mark.parametrize("option", PINNED)
def test_a_pin_is_a_commit_and_a_missing_one_is_asked_for(option: str) -> None:
    text = (conf_dir() / "model" / f"{option}.yaml").read_text()
    (revision,) = re.findall(r"^revision: (\S+)$", text, re.MULTILINE)
    consent = [TRUST] if option == "glm4v_9b" else []
    if revision != "null":
        assert COMMIT.fullmatch(revision)
    if revision != "null" or option in INSTALLED:
        assert compose([f"model={option}", QUIET]).model.name == option
        return
    with pytest.raises(
        ConfigError, match=r"^model\.revision: got None, allowed: the 40 hex digits"
    ):
        compose([f"model={option}", QUIET, *consent])


def test_code_of_others_runs_only_with_consent() -> None:
    with pytest.raises(ConfigError, match=r"model\.trust_remote_code: got False, allowed: true"):
        compose(["model=glm4v_9b", QUIET, PIN])
    with pytest.raises(ConfigError, match=r"model\.trust_remote_code: got True, allowed: false"):
        compose([QUIET, TRUST])


def test_glyph_is_asked_as_its_authors_do() -> None:
    model = compose(["model=glyph", QUIET, PIN]).model
    assert (model.max_new_tokens, model.repetition_penalty) == (8192, 1.1)
    assert model.answer_after == "</think>"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty"),
        ({"answer_after": ""}, "answer_after"),
        ({"batch_size": 0}, "batch_size"),
        ({"context": 64}, "context"),
        ({"min_pixels": 0}, "min_pixels"),
        ({"min_pixels": 10, "max_pixels": 9}, "min_pixels"),
        ({"family": Family.qwen3_vl}, "family"),
        ({"attention": Attention.flash_attention_2}, "attention"),
        (
            {
                "attention": Attention.flash_attention_2,
                "dtype": Dtype.bfloat16,
                "device": Device.cpu,
            },
            "attention",
        ),
    ],
)
def test_a_value_out_of_range_is_named(changes: dict[str, Any], field: str) -> None:
    tiny = compose([QUIET]).model
    assert tiny.check("model") == []
    values = {**vars(tiny), **changes}
    faults = ModelConfig(**values).check("model")
    assert [line.split(":")[0] for line in faults] == [f"model.{field}"]
    assert "allowed: " in faults[0]


def test_good_values_are_none_of_the_faults() -> None:
    values = {
        "repetition_penalty": 1.1,
        "answer_after": "</think>",
        "batch_size": 8,
        "context": 65,
        "min_pixels": 9,
        "max_pixels": 9,
        "dtype": Dtype.float16,
        "attention": Attention.flash_attention_2,
    }
    assert ModelConfig(**{**vars(compose([QUIET]).model), **values}).check("model") == []
