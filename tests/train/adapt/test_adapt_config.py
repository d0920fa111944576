"""What can't be trained is refused before anything is loaded: field, value, what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from adapt_settings import YAML, tiny

from freqexp.errors import ConfigError, UserError
from freqexp.schemas.choices import Family
from freqexp.train.adapt.config import AdaptConfig, load
from freqexp.train.config import read

MERGE = "compressor=merge"


def faults(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        tiny(*overrides)
    return list(raised.value.faults)


def test_the_file_says_what_the_schema_does() -> None:
    config, run = load(YAML, [MERGE])
    assert config == AdaptConfig()
    assert run.compressor.name == "merge"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("steps=0", "adapt.steps: got 0, allowed: an integer from 1 to "),
        ("conversations=0", "adapt.conversations: got 0, allowed: an integer from 1 to "),
        ("per_pass=0", "adapt.per_pass: got 0, allowed: an integer from 1 to "),
        ("per_pass=3", "adapt.per_pass: got 3, allowed: a divisor of adapt.conversations (8)"),
        ("questions=-1", "adapt.questions: got -1, allowed: an integer from 1 to "),
        ("rank=0", "adapt.rank: got 0, allowed: an integer from 1 to "),
        ("alpha=0", "adapt.alpha: got 0, allowed: an integer from 1 to "),
        ("start_lessons=0", "adapt.start_lessons: got 0, allowed: an integer from 1 to "),
        ("checkpoint_every=0", "adapt.checkpoint_every: got 0, allowed: an integer from 1 to "),
        ("validate_every=0", "adapt.validate_every: got 0, allowed: an integer from 1 to "),
        ("held=0", "adapt.held: got 0, allowed: an integer from 1 to "),
        ("warm_up=-1", "adapt.warm_up: got -1, allowed: an integer from 0 to "),
        ("seed=-1", "adapt.seed: got -1, allowed: an integer from 0 to "),
        ("threads=0", "adapt.threads: got 0, allowed: an integer from 1 to 1024"),
        ("learning_rate=0", "adapt.learning_rate: got 0.0, allowed: a finite number above 0"),
        ("compressor_rate=inf", "adapt.compressor_rate: got inf, allowed: a finite number above 0"),
        ("clip=nan", "adapt.clip: got nan, allowed: a finite number above 0"),
        ("decay=1.5", "adapt.decay: got 1.5, allowed: 0 to 1"),
        ("random_text=nan", "adapt.random_text: got nan, allowed: 0 to 1"),
        ("uncompressed=-0.1", "adapt.uncompressed: got -0.1, allowed: 0 to 1"),
        ("freeze_codes=2", "adapt.freeze_codes: got 2.0, allowed: 0 to 1"),
        ("answer=-1", "adapt.answer: got -1.0, allowed: 0 or more"),
        ("distil=inf", "adapt.distil: got inf, allowed: 0 or more"),
        ("states=nan", "adapt.states: got nan, allowed: 0 or more"),
        ("weight_decay=-1", "adapt.weight_decay: got -1.0, allowed: 0 or more"),
        ("split=eval", "adapt.split: got 'eval', allowed: fit: scores come from other sentences"),
        ("split=held", "adapt.split: got 'held', allowed: fit: "),
        ("codes_from=0.8", "adapt.freeze_codes: got 0.25, allowed: at most 1 - adapt.codes_from"),
        ("shapes=[[2]]", "adapt.shapes: got [2], allowed: pairs of needles (1 to 8) and turns"),
        ("shapes=[[2,6,1]]", "adapt.shapes: got [2, 6, 1], allowed: pairs of needles (1 to 8)"),
        ("shapes=[[2,6],[0,6]]", "adapt.shapes: got [0, 6], allowed: pairs of needles (1 to 8)"),
        ("shapes=[[9,12]]", "adapt.shapes: got [9, 12], allowed: pairs of needles (1 to 8)"),
        ("shapes=[[4,3]]", "adapt.shapes: got [4, 3], allowed: pairs of needles (1 to 8)"),
    ],
)
def test_values_out_of_range(override: str, said: str) -> None:
    (found,) = read(AdaptConfig, YAML, [override]).check("adapt")
    assert found.startswith(said)


def test_without_any_loss_there_is_nothing_to_train() -> None:
    (found,) = faults(MERGE, "adapt.answer=0", "adapt.distil=0", "adapt.states=0")
    assert found.startswith("adapt.answer: got 0.0, allowed: above 0 where adapt.distil and")
    tiny(MERGE, "adapt.answer=0", "adapt.distil=0")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["compressor=token", "adapt.compressor=true"],
            "adapt.compressor: got True, allowed: null or false for token, which has no parameters",
        ),
        (
            ["compressor=token", "adapt.model=nothing", "adapt.uncompressed=0"],
            "adapt.model: got 'nothing', allowed: decoder or lora where no compressor is trained",
        ),
        (
            [MERGE, "adapt.model=nothing", "adapt.compressor=false", "adapt.uncompressed=0"],
            "adapt.model: got 'nothing', allowed: decoder or lora where no compressor is trained",
        ),
        (
            ["compressor=snapkv"],
            "compressor: got 'snapkv (stage kv)', allowed: none, a method on vision tokens, or one",
        ),
        (["compressor=fp8"], "compressor: got 'fp8 (stage kv)', allowed: "),
        (
            ["compressor=fastv"],
            "compressor: got 'fastv (stage decoder)', allowed: none, a method on vision tokens",
        ),
        (
            ["compressor=combined", "kv=snapkv"],
            "compressor: got 'snapkv (stage kv)', allowed: ",
        ),
        (
            ["compressor=pixel_prune", "compressor.where=encoder"],
            "compressor.where: got 'encoder', allowed: decoder while it is trained with",
        ),
        (
            [MERGE, "adapt.model=nothing"],
            "adapt.uncompressed: got 0.2, allowed: 0 with adapt.model=nothing",
        ),
        (
            [MERGE, "cluster=a100x4", "adapt.conversations=6"],
            "adapt.per_pass: got 1, allowed: one that makes adapt.conversations / adapt.per_pass a "
            "multiple of 4 processes",
        ),
        (
            [MERGE, "adapt.model=decoder", "model.dtype=bfloat16"],
            "model.dtype: got 'bfloat16', allowed: float32 with adapt.model=decoder",
        ),
        ([MERGE, "adapt.store=int8"], "adapt.store: got 'int8', allowed: float32, or adapt.model="),
        ([MERGE, "model=ppocr"], "model.family: got 'ppocr', allowed: a family with a decoder"),
        ([MERGE, "needles.text=random"], "needles.text: got 'random', allowed: english: "),
        ([MERGE, "needles.near=0.25"], "needles.near: got 0.25, allowed: 0.5: "),
    ],
)
def test_what_does_not_go_together(overrides: list[str], said: str) -> None:
    (found,) = faults(*overrides)
    assert found.startswith(said)


def test_only_generated_conversations_and_plain_weights_are_taken(
    tmp_path: Path, weights: Path
) -> None:
    needles = tmp_path / "2.jsonl"
    needles.write_text(
        '{"prompt": "[]", "answer": "a", "random_string_to_prepend": "a", "n_needles": 2, '
        '"desired_msg_index": 1, "total_messages": 2, "n_chars": 3}\n'
    )
    (found,) = faults(MERGE, f"needles.path={needles}")
    assert found.startswith(f"needles.path: got {str(needles)!r}, allowed: null: only generated")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for name in ("adapt.json", "adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).write_text("{}")
    (found,) = faults(MERGE, f"model.adapter={adapter}")
    assert found.startswith(f"model.adapter: got {str(adapter)!r}, allowed: null: what comes out")
    inside = weights / "adapted"
    (found,) = faults(MERGE, f"model.path={weights}", f"adapt.out={inside}")
    assert found.startswith(f"adapt.out: got {str(inside)!r}, allowed: outside {weights}")


def test_the_remote_family_has_no_states_to_learn_from(weights: Path) -> None:
    remote = (MERGE, "model.family=glm4v_remote", "model.trust_remote_code=true")
    (found,) = faults(*remote, f"model.path={weights}")
    assert found.startswith("adapt.states: got 1.0, allowed: 0 for glm4v_remote")
    _, run = tiny(*remote, f"model.path={weights}", "adapt.states=0")
    assert run.model.family is Family.glm4v_remote


def test_all_faults_come_at_once() -> None:
    found = faults("compressor=fastv", "adapt.steps=0", "adapt.split=eval", "adapt.per_pass=0")
    assert [line.split(":")[0] for line in found] == [
        "adapt.steps",
        "adapt.per_pass",
        "adapt.split",
        "compressor",
    ]
    # Those of a run that can't be composed, too.
    found = faults("keep_ratio=2", "adapt.steps=0")
    assert [line.split(":")[0] for line in found] == ["adapt.steps", "keep_ratio"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("adapt.stepz=3", "adapt.stepz: Key 'stepz' not in 'AdaptConfig'"),
        ("adapt.steps=many", "adapt.steps: Value 'many' .* could not be converted to Integer"),
        ("adapt.seed=null", "adapt.seed: Incompatible value 'None'"),
        ("adapt.model=words", "adapt.model: Invalid value 'words', expected one of"),
        ("adapt.shapes=[[2,x]]", r"adapt.shapes\[0\]: Value 'x'"),
        ("adapted.steps=3", "adapted: no such key"),
    ],
)
def test_unknown_keys_and_other_types_are_named(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        tiny(MERGE, override)


def test_what_is_taken() -> None:
    for overrides in (
        ["compressor=none"],
        ["compressor=downsample", "adapt.model=decoder"],
        ["compressor=combined", "token=merge"],
        ["compressor=merge", "adapt.model=nothing", "adapt.uncompressed=0"],
        ["compressor=pixel_prune"],
        [MERGE, "cluster=a100x4", "adapt.conversations=8"],
    ):
        tiny(*overrides)
