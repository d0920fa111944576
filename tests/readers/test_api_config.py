"""What is refused of a served model before anything is called, and what names its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from freqexp.composing.compose import compose
from freqexp.config.differing import differing
from freqexp.config.identity import identity, run_id
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.errors import ConfigError
from freqexp.memory.geometry import NoGeometryError, geometry_of
from freqexp.paths import conf_dir
from freqexp.readers.bundled import weights_hash
from freqexp.schemas.choices import Family
from freqexp.schemas.served import NOT_SCORED, ServedConfig
from freqexp.train.adapt.config import load as load_training

SERVER = ("model=api", "model.endpoint=http://host:8000/v1", "model.served=org/some-vl")
QUIET = "tracking=off"


def faults_of(*overrides: str) -> Sequence[str]:
    with pytest.raises(ConfigError) as caught:
        compose([*overrides, QUIET])
    return caught.value.faults


def test_nothing_is_called_that_nobody_named() -> None:
    served, endpoint = faults_of("model=api")
    assert served.startswith("model.served: got '', allowed: the name")
    assert endpoint.startswith("model.endpoint: got None, allowed: the URL of a server")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.endpoint=host:8000", "model.endpoint: got 'host:8000', allowed: a URL that begins"),
        ("model.endpoint=ftp://host/v1", "model.endpoint: got 'ftp://host/v1', allowed: a URL"),
        ("model.endpoint=http://host:port/v1", "model.endpoint: no URL"),
        ("model.path=org/model", "model.path: got 'org/model', allowed: null for api"),
        ("model.adapter=FOLDER", "model.adapter: got 'FOLDER', allowed: null for api"),
        ("model.dtype=bfloat16", "model.dtype: got 'bfloat16', allowed: float32 for api"),
        ("model.device=cuda", "model.device: got 'cuda', allowed: cpu for api"),
        ("model.batch_size=8", "model.batch_size: got 8, allowed: 1 for api"),
        ("model.min_pixels=9", "model.min_pixels: got 9, allowed: null for api"),
        ("model.trust_remote_code=true", "model.trust_remote_code: got True, allowed: false"),
        ("model.family=glm4v", "model.family: got 'glm4v', allowed: api with model=api"),
        ("model.concurrency=0", "model.concurrency: got 0, allowed: an integer from 1"),
        ("model.retries=-1", "model.retries: got -1"),
        ("model.timeout_s=0", "model.timeout_s: got 0.0, allowed: a finite number above 0"),
        (
            "model.extra_body.stream=false",
            "model.extra_body.stream: got False, allowed",
        ),
        ("model.price_in=-1", "model.price_in: got -1.0, allowed: a finite number, 0 or more"),
        ("compressor=token", "model.family: got 'api with compressor token on vision tokens'"),
        ("compressor=pool", "model.family: got 'api with compressor pool on vision tokens'"),
        ("compressor=pixel_prune", "model.family: got 'api with compressor pixel_prune'"),
        ("compressor=fastv", "model.family: got 'api with compressor fastv inside the decoder'"),
        ("compressor=kivi", "model.family: got 'api with compressor kivi on the KV cache'"),
    ],
)
def test_what_a_server_does_not_give_is_refused_by_name(override: str, told: str) -> None:
    assert any(each.startswith(told) for each in faults_of(*SERVER, override))


def test_what_a_request_holds_besides_is_part_of_the_run() -> None:
    cfg = compose([*SERVER, QUIET])
    other = compose([*SERVER, QUIET, "model.extra_body.temperature=null"])
    assert isinstance(other.model, ServedConfig)
    assert other.model.extra_body == {"temperature": None}
    assert run_id(other) != run_id(cfg)


def test_a_part_of_a_combination_is_refused_like_the_method_alone() -> None:
    (fault,) = faults_of(*SERVER, "compressor=combined", "codec=jpeg", "token=token")
    assert "api with compressor token on vision tokens" in fault


def test_tokens_of_a_text_can_be_shared_out_but_not_counted() -> None:
    text = (*SERVER, "model.input=text", "compressor=truncate")
    assert compose([*text, "keep_ratio=0.5", QUIET])
    (fault,) = faults_of(*text, "keep_tokens=80")
    assert fault.startswith("keep_tokens: got 80, allowed: null with model=api")


@pytest.mark.parametrize("compressor", ["none", "jpeg", "block_dct", "downsample"])
def test_what_acts_on_pages_composes(compressor: str) -> None:
    model = compose([*SERVER, f"compressor={compressor}", QUIET]).model
    assert isinstance(model, ServedConfig)
    assert (model.name, model.served, model.concurrency) == ("org/some-vl", "org/some-vl", 32)


def test_secrets_are_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    for key in ("sk-secret-0123", "NOT_SET"):
        (fault,) = faults_of(*SERVER, f"model.key_env={key}")
        assert fault.startswith("model.key_env: names no environment variable that is set")
        assert key not in fault
    for end in ("http://me:sk-secret@host/v1", "https://host/v1?key\\=sk-secret"):
        (fault,) = faults_of(*SERVER, f"model.endpoint='{end}'")
        assert fault.startswith("model.endpoint: got 'http")
        assert "sk-secret" not in fault
    monkeypatch.setenv("LINES", "a\nb")
    (fault,) = faults_of(*SERVER, "model.key_env=LINES")
    assert "characters that no header may have" in fault


def test_a_run_is_named_by_the_model_and_not_by_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_KEY", "x")
    cfg = compose([*SERVER, QUIET])
    moved = compose(
        [
            *("model=api", "model.served=org/some-vl", "model.endpoint=https://other/v1", QUIET),
            *("model.key_env=SOME_KEY", "model.concurrency=2", "model.retries=0"),
            *("model.timeout_s=5", "model.backoff_s=2", "model.price_in=1", "model.price_out=2"),
        ]
    )
    changed = {
        name for name, value in vars(moved.model).items() if value != getattr(cfg.model, name)
    }
    assert changed == NOT_SCORED
    assert run_id(moved) == run_id(cfg)
    assert not NOT_SCORED & set(identity(cfg)["model"])
    other = replace(cfg, model=replace(cfg.model, served="org/other"))
    assert run_id(other) != run_id(cfg)
    assert weights_hash(cfg.model) == "served:org/some-vl"


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    cfg = compose([*SERVER, QUIET, "model.price_in=0.5"])
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(cfg))
    assert from_yaml(file) == cfg


def test_runs_that_were_called_otherwise_are_rivals() -> None:
    from omegaconf import OmegaConf

    cfg = compose([*SERVER, QUIET])
    moved = replace(cfg, model=replace(cfg.model, endpoint="http://other/v1", concurrency=1))
    longer = replace(cfg, model=replace(cfg.model, max_new_tokens=9))
    saved = [
        OmegaConf.to_container(OmegaConf.create(to_yaml(each))) for each in (cfg, moved, longer)
    ]
    assert differing(saved[:2]) == ["", ""]  # type: ignore[arg-type]
    assert differing(saved[1:])[1] == "max_new_tokens=9"  # type: ignore[arg-type]


def test_the_family_alone_is_no_served_model() -> None:
    (fault,) = faults_of("model.family=api")
    assert fault == "model.family: got 'api', allowed: what model=api sets, not a family by itself"


def test_no_memory_plan_and_nothing_to_teach() -> None:
    with pytest.raises(NoGeometryError, match="a server has the model"):
        geometry_of(compose([*SERVER, QUIET]).model)
    with pytest.raises(ConfigError) as caught:
        load_training(conf_dir() / "train" / "adapt.yaml", [*SERVER, "compressor=jpeg", QUIET])
    assert any("model.family: got 'api'" in fault for fault in caught.value.faults)
    assert Family.api.value == "api"
