"""Loading GLM-4V-9B, whose code is fetched with its weights and run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freqexp.errors import UserError, fault
from freqexp.readers.adapters import apply
from freqexp.readers.weights import (
    Parts,
    check_family,
    check_tensors,
    device_of,
    first_line,
    loading,
    quiet,
    source_of,
)

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

NEEDED = ("auto_map", "vision_config", "boi_token_id", "eoi_token_id")


def load_remote(config: ModelConfig) -> Parts:
    """Load model and tokenizer of `config.path` with the code that lies beside the weights. The
    tokenizer is also the image processor.

    Raises UserError without `trust_remote_code`, before anything is fetched or run; then for a
    device that is not there and a checkpoint that can't be had, is of another family, or whose
    tensors do not match its config; when the code fails; and see `adapters.apply`.
    """
    if not config.trust_remote_code:
        allowed = "true, which runs Python code that comes with the weights; read that code first"
        raise UserError(fault("model.trust_remote_code", False, allowed))
    for field in ("min_pixels", "max_pixels"):
        if getattr(config, field) is not None:
            allowed = "null for GLM-4V-9B, which resizes every page to its own square"
            raise UserError(fault(f"model.{field}", getattr(config, field), allowed))
    device, source = device_of(config.device.value), source_of(config)
    with quiet(), loading(source):
        check_family(source, config, ["chatglm"])
        _check_fields(source, config.revision)
        model, report = _run_code(source, config)
        check_tensors(source, report)
        with _code(source):
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(
                source, revision=config.revision, trust_remote_code=True
            )
    model = model.eval().to(device)
    apply(model, config)
    return Parts(model, tokenizer, tokenizer)


def end_tokens(model: Any) -> Tensor:
    """End tokens [ends] of the checkpoint. Raises UserError when it names none."""
    for settings in (model.generation_config, model.config):
        named = getattr(settings, "eos_token_id", None)
        if named is not None:
            return torch.as_tensor(named).reshape(-1)
    raise UserError("model.path: the checkpoint names no end token (eos_token_id)")


def _check_fields(source: str, revision: str | None) -> None:
    from transformers import PretrainedConfig

    found, _ = PretrainedConfig.get_config_dict(source, revision=revision)
    missing = [field for field in NEEDED if found.get(field) is None]
    if missing:
        raise UserError(
            f"model.path: {source!r} is a chatglm checkpoint but not GLM-4V: its config.json has "
            f"no {', '.join(missing)}"
        )


def _run_code(source: str, config: ModelConfig) -> tuple[Any, dict[str, Any]]:
    from transformers import AutoModelForCausalLM

    build: Any = AutoModelForCausalLM
    with _code(source):
        model, report = build.from_pretrained(
            source,
            revision=config.revision,
            trust_remote_code=True,
            dtype=getattr(torch, config.dtype.value),
            attn_implementation=config.attention.value,
            output_loading_info=True,
        )
    return model, report


@contextmanager
def _code(source: str) -> Iterator[None]:
    """Whatever foreign code raises, in one line with the version it ran under."""
    import transformers

    try:
        yield
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UserError(
            f"model.path: can't load {source!r} with its own code under transformers "
            f"{transformers.__version__}: {type(error).__name__}: {first_line(error)}"
        ) from error
