"""From a model configuration to loaded parts, with errors that say what to mend."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from freqexp.errors import UserError, fault
from freqexp.readers import bundled
from freqexp.readers.adapters import apply

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

# What transformers and its file formats raise for a checkpoint they can't use.
LOAD_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)

_DERIVED = ("inv_freq", "position_ids")

REACH_SECONDS = 5.0
"""How long the hub has to answer at all."""

_spread: ContextVar[bool] = ContextVar("spread", default=False)


@dataclass(frozen=True, eq=False)
class Parts:
    """A loaded model in evaluation mode on its device, its tokenizer and its image processor."""

    model: Any
    tokenizer: Any
    processor: Any


def source_of(config: ModelConfig) -> str:
    """Folder or hub id of the weights; of a hub id that the cache has, while the hub does not
    answer, the folder there.

    Raises UserError for one that the cache has not, either.
    """
    if config.path is None:
        return str(bundled.folder())
    folder = Path(config.path).expanduser()
    return str(folder) if folder.is_dir() else _on_hub(config.path, config.revision)


def _on_hub(name: str, revision: str | None) -> str:
    """Asked first, because each file of a hub that does not answer is tried for a minute."""
    from huggingface_hub import constants, snapshot_download

    if not constants.HF_HUB_OFFLINE and _answers(constants.ENDPOINT):
        return name
    try:
        return str(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "it does not answer"
        raise UserError(
            f"model.path: {name!r} is not in this machine's cache, and can't be fetched from "
            f"{constants.ENDPOINT}: {why}. Where it can: hf download {name} --revision "
            f"{revision or 'COMMIT'} --local-dir FOLDER; then model.path=FOLDER"
        ) from error


def _answers(url: str) -> bool:
    try:
        requests.head(url, timeout=REACH_SECONDS)
    except requests.RequestException:
        return False
    return True


def load_parts(
    config: ModelConfig, model_types: Sequence[str], model_class: Any, processor_class: Any
) -> Parts:
    """Load weights, tokenizer and image processor from `config.path` (None: the bundled reader).

    model_types: what the checkpoint's config.json may call itself.
    Raises UserError for a device that is not there, a checkpoint that can't be had or read, is of
    another family, or whose tensors do not match its config; and see `adapters.apply`.
    """
    device = device_of(config.device.value)
    source = source_of(config)
    with quiet(), loading(source):
        check_family(source, config, model_types)
        model, report = model_class.from_pretrained(
            source,
            revision=config.revision,
            dtype=getattr(torch, config.dtype.value),
            attn_implementation=config.attention.value,
            output_loading_info=True,
            **({"device_map": "auto"} if _spread.get() else {}),
        )
        check_tensors(source, report)
        tokenizer = load_tokenizer(source, config.revision)
        processor = processor_class.from_pretrained(source, revision=config.revision)
        model = model.eval()
        if not _spread.get():
            model = model.to(device)
    apply(model, config)
    return Parts(model, tokenizer, processor)


@contextmanager
def spread(over_all_gpus: bool) -> Iterator[None]:
    """What is loaded inside is one copy over all visible GPUs, placed by accelerate, if asked for.

    Not a part of the model's configuration: where weights are does not change what they say.
    Raises UserError without accelerate.
    """
    if over_all_gpus and importlib.util.find_spec("accelerate") is None:
        raise UserError("cluster.shard: needs accelerate: pip install accelerate")
    token = _spread.set(over_all_gpus)
    try:
        yield
    finally:
        _spread.reset(token)


def load_tokenizer(source: str, revision: str | None) -> Any:
    """The tokenizer with the chat template of the checkpoint's processor where it has one of its
    own, as the processor would use it.

    Raises UserError when there is none.
    """
    from transformers import AutoTokenizer, ProcessorMixin

    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
    extras, _ = ProcessorMixin.get_processor_dict(source, revision=revision)
    template = extras.get("chat_template")
    if template is not None:
        tokenizer.chat_template = template
    if tokenizer.chat_template is None:
        raise UserError(f"model.path: {source!r} has no chat template")
    return tokenizer


def check_family(source: str, config: ModelConfig, model_types: Sequence[str]) -> None:
    """Raises UserError unless the checkpoint's config.json is of one of `model_types`."""
    from transformers import PretrainedConfig

    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        raise UserError(f"model.path: can't load {source!r}: no config.json in this folder")
    found, _ = PretrainedConfig.get_config_dict(source, revision=config.revision)
    model_type = found.get("model_type")
    if model_type is None:
        raise UserError(f"model.path: can't load {source!r}: its config.json has no model_type")
    if model_type not in model_types:
        allowed = f"a checkpoint of model_type {' or '.join(model_types)}"
        family = config.family.value
        raise UserError(
            f"{fault('model.path', source, allowed)} for model.family={family}; this one is "
            f"{model_type}"
        )


def check_tensors(source: str, report: dict[str, Any]) -> None:
    """Raises UserError for missing, unexpected or misshapen tensors, naming the first three.

    Tables that follow from the config are no tensors of a checkpoint, though some store them.
    """
    unexpected = [k for k in report.get("unexpected_keys", ()) if not str(k).endswith(_DERIVED)]
    report = {**report, "unexpected_keys": unexpected}
    wrong = {kind: sorted(map(str, names))[:3] for kind, names in report.items() if names}
    if wrong:
        listed = "; ".join(f"{k.replace('_', ' ')}: {', '.join(v)}" for k, v in wrong.items())
        raise UserError(f"model.path: the weights in {source!r} don't match their config: {listed}")


def device_of(name: str) -> torch.device:
    """The device of `cpu`, `cuda` or `auto`. Raises UserError for CUDA where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(fault("model.device", name, "cpu (no CUDA device is visible)"))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def loading(source: str) -> Iterator[None]:
    """Turn what transformers raises for a broken checkpoint into one line for the user."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"model.path: {source!r} does not fit into the GPU's memory: {first_line(error)}"
        ) from error
    except LOAD_ERRORS as error:
        raise UserError(f"model.path: can't load {source!r}: {first_line(error)}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers; as they were afterwards."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def first_line(error: Exception) -> str:
    """An error's first line; its type when it says nothing."""
    if isinstance(error, StrictDataclassError) and isinstance(error.__cause__, Exception):
        # Its own text names transformers' check; the cause names field and value.
        error = error.__cause__
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
