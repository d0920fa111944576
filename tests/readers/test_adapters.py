"""Adapters: what training changed comes back from a folder, and no other folder is taken."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import glm4v_remote_checkpoint
import llava_checkpoint
import numpy as np
import pytest
import torch
from reader_checkpoints import KINDS, configure, noise_pages, write_checkpoint
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from freqexp.errors import UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.teaching import Exercise, Taught
from freqexp.nouns.vision import CompressedTokens, keep_all
from freqexp.readers import adapter_file
from freqexp.readers.adapter_file import content_hash
from freqexp.readers.adapters import decoder_parameters
from freqexp.readers.adapting import disabled, lora, save_full, save_lora
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Dtype, Family
from freqexp.schemas.model import ModelConfig

QUESTIONS = (("What?", "a tapir"), ("Who says it, and why?", "No"))
FAMILIES = [*sorted(KINDS), "llava_onevision", "glm4v_remote"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A family's small random checkpoint."""

    config: ModelConfig
    pages: list[Pixels]

    def load(self, **changes: Any) -> Any:
        return load_reader(replace(self.config, **changes))

    def vision(self, reader: Any) -> list[CompressedTokens]:
        return [keep_all(page) for page in reader.encode(self.pages)]

    def teach(self, reader: Any) -> Taught:
        taught: Taught = reader.teach([Exercise(self.vision(reader), QUESTIONS)])
        return taught

    def logits(self, reader: Any) -> Tensor:
        with torch.no_grad():
            return self.teach(reader).logits


def made(name: str, folder: Path, model_config: Callable[..., ModelConfig]) -> Subject:
    if name in KINDS:
        kind = KINDS[name]
        write_checkpoint(kind, folder)
        return Subject(configure(kind, folder), noise_pages(kind, ((3, 4), (2, 5))))
    source = np.random.default_rng(0)
    size = (168, 90)
    if name == "llava_onevision":
        llava_checkpoint.build_checkpoint(folder)
    else:
        glm4v_remote_checkpoint.build_checkpoint(folder)
    config = replace(
        model_config(folder), family=Family(name), trust_remote_code=name == "glm4v_remote"
    )
    return Subject(config, [source.integers(0, 256, size, dtype=np.uint8)])


@pytest.fixture(scope="module", autouse=True)
def code_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with glm4v_remote_checkpoint.code_cache_in(tmp_path_factory.mktemp("modules")) as folder:
        yield folder


@pytest.fixture(scope="module", params=FAMILIES)
def subject(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    model_config: Callable[..., ModelConfig],
) -> Subject:
    torch.set_num_threads(1)
    return made(request.param, tmp_path_factory.mktemp("adapted") / "base", model_config)


def train(subject: Subject, reader: Any, parameters: Sequence[nn.Parameter], steps: int) -> None:
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    losses = []
    for _ in range(steps):
        taught = subject.teach(reader)
        loss = nn.functional.cross_entropy(taught.logits, taught.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


def test_a_lora_comes_back_merged(subject: Subject, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base, reader, folder = subject.load(), subject.load(), tmp_path / "lora"
    before = subject.logits(base)
    parameters = lora(reader.model, rank=4, alpha=8)
    torch.testing.assert_close(subject.logits(reader), before, rtol=0.0, atol=0.0)
    trained = [name for name, p in reader.model.named_parameters() if p.requires_grad]
    decoder = decoder_parameters(reader.model)
    assert len(trained) == len(parameters)
    assert set(trained) < set(decoder)
    linear = {
        name
        for name, module in base.model.named_modules()
        if isinstance(module, nn.Linear) and f"{name}.weight" in decoder_parameters(base.model)
    }
    outputs = {name for name in linear if name.endswith(("lm_head", "output_layer"))}
    assert len(outputs) == 1
    assert {name.partition(".lora_")[0] for name in trained} == linear - outputs
    train(subject, reader, parameters, 4)
    unmerged = subject.logits(reader)
    assert (unmerged - before).abs().max() > 0.01
    with disabled(reader.model):
        assert torch.equal(subject.logits(reader), before)
    assert [name for name, p in reader.model.named_parameters() if p.requires_grad] == trained
    assert torch.equal(subject.logits(reader), unmerged)
    save_lora(reader.model, subject.config, folder, {"steps": 4})
    merged = subject.load(adapter=str(folder))
    torch.testing.assert_close(subject.logits(merged), unmerged, rtol=0.0, atol=1e-4)
    for question, _ in QUESTIONS:
        answers = [
            one.answer(question, subject.vision(one)).raw_text for one in (reader, merged, base)
        ]
        assert answers[0] == answers[1] != answers[2]
    for one, other in zip(subject.vision(merged), subject.vision(base), strict=True):
        assert torch.equal(one.features, other.features)
    asked = {name: p.requires_grad for name, p in base.model.named_parameters()}
    assert asked == {name: p.requires_grad for name, p in merged.model.named_parameters()}
    assert not hasattr(merged.model, "peft_config")
    assert json.loads((folder / "adapt.json").read_text())["steps"] == 4
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1


def test_changed_parameters_come_back_bit_by_bit(subject: Subject, tmp_path: Path) -> None:
    base, reader, folder = subject.load(), subject.load(), tmp_path / "full"
    decoder = decoder_parameters(reader.model)
    reader.model.requires_grad_(False)
    for parameter in decoder.values():
        parameter.requires_grad_(True)
    train(subject, reader, list(decoder.values()), 2)
    save_full(reader.model, subject.config, folder, {})
    again = subject.load(adapter=str(folder))
    own, first = dict(again.model.named_parameters()), dict(base.model.named_parameters())
    for name, parameter in reader.model.named_parameters():
        assert torch.equal(own[name], parameter), name
        assert own[name].requires_grad == first[name].requires_grad
        assert name in decoder or torch.equal(first[name], parameter)
    assert torch.equal(subject.logits(again), subject.logits(reader))
    # The encoder is none of its parameters.
    assert set(load_file(folder / "decoder.safetensors")) == set(decoder)
    towers = set(first) - set(decoder)
    parts = ("visual", "vision", "projector", "newline")
    assert towers
    assert all(any(part in name for part in parts) for name in towers)


def test_differences_in_8_bits_are_a_quarter_and_no_further_off_than_half_a_unit(
    subject: Subject, tmp_path: Path
) -> None:
    base, reader = subject.load(), subject.load()
    decoder = decoder_parameters(reader.model)
    reader.model.requires_grad_(False)
    for parameter in decoder.values():
        parameter.requires_grad_(True)
    train(subject, reader, list(decoder.values()), 2)
    save_full(reader.model, subject.config, tmp_path / "whole", {})
    save_full(reader.model, subject.config, tmp_path / "small", {}, base=base.model)
    again = subject.load(adapter=str(tmp_path / "small"))
    was, own = decoder_parameters(base.model), decoder_parameters(again.model)
    for name, wanted in decoder.items():
        most = float((wanted - was[name]).detach().abs().max())
        off = float((own[name] - wanted).detach().abs().max())
        assert off <= (most / 254 * 1.001 + 1e-7 if wanted.dim() > 1 else 0.0), name
    changed = (subject.logits(reader) - subject.logits(base)).abs().max()
    assert (subject.logits(again) - subject.logits(reader)).abs().max() < 0.05 * changed
    parts = [load_file(tmp_path / name / "decoder.safetensors") for name in ("whole", "small")]
    sizes = [sum(tensor.nbytes for tensor in part.values()) for part in parts]
    flat = sum(tensor.nbytes for tensor in parts[0].values() if tensor.dim() == 1)
    assert sizes[1] == (sizes[0] - flat) // 4 + flat


@dataclass(frozen=True, eq=False)
class Saved:
    """An adapter of each kind of one checkpoint."""

    subject: Subject
    lora: Path
    full: Path


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory, model_config: Callable[..., ModelConfig]
) -> Saved:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("saved")
    subject = made("glm4v", root / "base", model_config)
    reader = subject.load()
    lora(reader.model, rank=2, alpha=4)
    with torch.no_grad():
        for name, parameter in reader.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    save_lora(reader.model, subject.config, root / "lora", {})
    reader = subject.load()
    names = [n for n in decoder_parameters(reader.model) if "q_proj" in n]
    with torch.no_grad():
        for name in names:
            decoder_parameters(reader.model)[name].add_(0.1)
    save_full(reader.model, subject.config, root / "full", {}, names)
    return Saved(subject, root / "lora", root / "full")


def refused(saved: Saved, folder: Path | str, said: str, **changes: Any) -> None:
    with pytest.raises(
        UserError, match=rf"^model\.adapter: got {re.escape(repr(str(folder)))}, allowed: .*{said}"
    ):
        saved.subject.load(adapter=str(folder), **changes)


def resealed(folder: Path) -> Path:
    """The folder as it would have been written with what it holds now."""
    about = json.loads((folder / "adapt.json").read_text())
    about["files"] = {name: adapter_file._file_hash(folder / name) for name in about["files"]}
    (folder / "adapt.json").write_text(json.dumps(about))
    return folder


def with_tensors(source: Path, target: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    """A copy of an adapter with other tensors."""
    shutil.copytree(source, target)
    (file,) = target.glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"decoder": "{}"})
    return resealed(target)


# Of PeftModel itself, which freqexp doesn't use.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_peft_reads_what_is_written_and_writes_what_is_read(saved: Saved, tmp_path: Path) -> None:
    from peft import PeftModel

    subject, reader = saved.subject, saved.subject.load()
    wrapped: Any = PeftModel.from_pretrained(reader.model, str(saved.lora))
    expected = subject.logits(subject.load(adapter=str(saved.lora)))
    torch.testing.assert_close(subject.logits(reader), expected, rtol=0.0, atol=1e-4)
    folder = tmp_path / "peft"
    wrapped.save_pretrained(folder)
    shutil.copy(saved.lora / "adapt.json", folder)
    again = subject.load(adapter=str(resealed(folder)))
    assert torch.equal(subject.logits(again), expected)


@pytest.mark.parametrize("variant", [{"use_rslora": True}, {"use_dora": True}])
def test_variants_of_lora_are_merged(saved: Saved, tmp_path: Path, variant: dict[str, Any]) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    subject, reader, folder = saved.subject, saved.subject.load(), tmp_path / "variant"
    pattern = r"model\.language_model\..*\.(q_proj|down_proj)"
    inject_adapter_in_model(LoraConfig(r=2, target_modules=pattern, **variant), reader.model)
    with torch.no_grad():
        for name, parameter in reader.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    save_lora(reader.model, subject.config, folder, {})
    merged = subject.load(adapter=str(folder))
    torch.testing.assert_close(subject.logits(merged), subject.logits(reader), rtol=0.0, atol=1e-4)


def test_half_precision_halves_the_file_and_reads_anywhere(saved: Saved, tmp_path: Path) -> None:
    subject, reader = saved.subject, saved.subject.load()
    lora(reader.model, rank=32, alpha=4)
    for parameter in reader.model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
    sizes = []
    for dtype in (None, torch.bfloat16, torch.float16):
        folder = tmp_path / str(dtype)
        save_lora(reader.model, subject.config, folder, {}, dtype)
        sizes.append((folder / "adapter_model.safetensors").stat().st_size)
        merged = subject.load(adapter=str(folder))
        difference = (subject.logits(merged) - subject.logits(reader)).abs().max()
        assert difference < (1e-4 if dtype is None else 0.2)
        assert next(merged.model.parameters()).dtype == torch.float32
        half = subject.load(adapter=str(folder), dtype=Dtype.bfloat16)
        assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}
    assert max(sizes[1:]) < 0.6 * sizes[0]


def test_what_is_no_adapter_is_refused(saved: Saved, tmp_path: Path) -> None:
    refused(saved, tmp_path / "nothing", "a folder that exists")
    refused(saved, "bundled", "it is for ")
    refused(saved, tmp_path, "a folder with adapt.json and either")
    both = shutil.copytree(saved.lora, tmp_path / "both")
    shutil.copy(saved.full / "decoder.safetensors", both)
    refused(saved, both, "not both")
    for missing in ("adapt.json", "adapter_config.json", "adapter_model.safetensors"):
        folder = shutil.copytree(saved.lora, tmp_path / f"no {missing}")
        (folder / missing).unlink()
        refused(saved, folder, "a folder with adapt.json and either")


def test_half_a_file_and_a_mixture_are_refused(saved: Saved, tmp_path: Path) -> None:
    for source, name in (
        (saved.lora, "adapter_model.safetensors"),
        (saved.lora, "adapter_config.json"),
        (saved.full, "decoder.safetensors"),
    ):
        folder = shutil.copytree(source, tmp_path / name)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        refused(saved, folder, f"{name} is not the file that adapt.json was written with")
        refused(saved, resealed(folder), "can't be read|holds no JSON object")
    for text in ("{", "[]", "{}", '{"base": {}}', '{"base": {"weights_hash": "a"}, "files": []}'):
        folder = shutil.copytree(saved.lora, tmp_path / "about", dirs_exist_ok=True)
        (folder / "adapt.json").write_text(text)
        refused(saved, folder, "adapt.json doesn't say what it is for")


def test_an_adapter_of_other_weights_is_refused_by_both_names(saved: Saved, tmp_path: Path) -> None:
    kind = KINDS["glm4v"]
    other = write_checkpoint(kind, tmp_path / "other", seed=1)
    theirs = r"it is for weights [0-9a-f]{12}; the model's are [0-9a-f]{12}\)"
    for folder in (saved.lora, saved.full):
        refused(saved, folder, theirs, path=str(other))
    qwen = write_checkpoint(KINDS["qwen2_vl"], tmp_path / "qwen")
    said = (
        "it is for Glm4vForConditionalGeneration with 3 layers of 64 channels; the model is "
        "Qwen2VLForConditionalGeneration with 3 layers of 64 channels"
    )
    refused(saved, saved.lora, said, path=str(qwen), family=Family.qwen2_vl)


def test_tensors_that_are_not_the_model_s_are_refused(saved: Saved, tmp_path: Path) -> None:
    def first(tensors: dict[str, Tensor], part: str = "") -> str:
        return next(name for name in sorted(tensors) if part in name)

    def drop(tensors: dict[str, Tensor]) -> None:
        del tensors[first(tensors)]

    def add(tensors: dict[str, Tensor]) -> None:
        tensors["base_model.model.model.language_model.layers.7.x"] = torch.ones(2)

    def renest(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name.replace("model.language_model", "model")] = tensors.pop(name)

    def cut(tensors: dict[str, Tensor]) -> None:
        tensors[first(tensors)] = tensors[first(tensors)][:1].contiguous()

    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors[first(tensors)].view(-1)[-1] = float("nan")

    def overflow(tensors: dict[str, Tensor]) -> None:
        tensors[first(tensors)].view(-1)[-1] = float("inf")

    def count(tensors: dict[str, Tensor]) -> None:
        tensors[first(tensors)] = tensors[first(tensors)].long()

    def unlearn(tensors: dict[str, Tensor]) -> None:
        for name in tensors:
            if "lora_B" in name:
                tensors[name].zero_()

    cases: list[tuple[Path, Callable[[dict[str, Tensor]], object], str]] = [
        (saved.lora, drop, "1 tensors are missing: model.language_model.layers.0"),
        (saved.lora, add, "1 tensors are unexpected: model.language_model.layers.7.x"),
        (saved.lora, renest, "tensors are outside the decoder: model.layers.0"),
        (saved.lora, cut, "1 tensors are misshapen: model.language_model.layers.0"),
        (saved.lora, spoil, "holds what is no finite number"),
        (saved.lora, overflow, "holds what is no finite number"),
        (saved.lora, count, "holds what is no finite number"),
        (saved.lora, unlearn, "every B of its LoRA is zero, so it changes nothing"),
        (saved.lora, dict.clear, "every B of its LoRA is zero, so it changes nothing"),
        (saved.full, add, "1 tensors are outside the decoder: base_model"),
        (saved.full, cut, "1 tensors are misshapen: model.language_model.layers.0"),
        (saved.full, spoil, "holds what is no finite number"),
        (saved.full, dict.clear, "it is equal to the base, so it changes nothing"),
    ]
    for number, (source, change, said) in enumerate(cases):
        folder = with_tensors(source, tmp_path / str(number), change)
        refused(saved, folder, said)

    def as_base(tensors: dict[str, Tensor]) -> None:
        own = dict(saved.subject.load().model.named_parameters())
        tensors.update({name: own[name].detach() for name in tensors})

    def tower(tensors: dict[str, Tensor]) -> None:
        own = dict(saved.subject.load().model.named_parameters())
        name = first({n: p for n, p in own.items() if "visual" in n})
        tensors[name] = own[name].detach() + 1

    refused(saved, with_tensors(saved.full, tmp_path / "same", as_base), "equal to the base")
    folder = with_tensors(saved.full, tmp_path / "tower", tower)
    refused(saved, folder, "1 tensors are outside the decoder: model.visual")
    plain = shutil.copytree(saved.full, tmp_path / "plain")
    save_file(load_file(plain / "decoder.safetensors"), plain / "decoder.safetensors")
    refused(saved, resealed(plain), "header of decoder.safetensors has no 'decoder'")
    name, header = first(load_file(plain / "decoder.safetensors")), "its header says nothing of a"
    for entry, said in (
        ("no JSON", header),
        ("3", header),
        ('{"scales": [1]}', header),
        ('{"scales": {"x": null}}', header),
        ('{"scales": {"x": 0}}', "the scale of x is 0.0, not a number above 0"),
        ('{"scales": {"x": NaN}}', "the scale of x is nan, not a number above 0"),
        ("{}", f"{name} holds what is no finite number"),
    ):
        tensors = load_file(saved.full / "decoder.safetensors")
        tensors[name] = tensors[name].to(torch.int8)
        save_file(tensors, plain / "decoder.safetensors", {"decoder": entry})
        refused(saved, resealed(plain), said)


def test_other_settings_of_peft_are_refused(saved: Saved, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"peft_type": "IA3"}, "peft_type of adapter_config.json is IA3, not LORA"),
        ({"peft_type": None}, "peft_type of adapter_config.json is None, not LORA"),
        ({"r": 0}, "peft: "),
        ({"target_modules": "nowhere"}, "peft: Target modules nowhere not found"),
        ({"target_modules": ["o_proj", "qkv"]}, "6 tensors are outside the decoder: model.visual"),
        ({"target_modules": ["o_proj"]}, "tensors are unexpected: model.language_model"),
        ({"modules_to_save": ["post_mlp_layernorm"]}, "3 tensors are missing"),
    ]
    for number, (changes, said) in enumerate(cases):
        folder = shutil.copytree(saved.lora, tmp_path / str(number))
        glm4v_remote_checkpoint.edit(folder / "adapter_config.json", **changes)
        refused(saved, resealed(folder), said)


def test_a_lora_on_the_encoder_is_refused(saved: Saved, tmp_path: Path) -> None:
    """Encodings are shared with models that have no adapter."""
    from peft import LoraConfig, inject_adapter_in_model

    subject, reader = saved.subject, saved.subject.load()
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["qkv"]), reader.model)
    for parameter in reader.model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    save_lora(reader.model, subject.config, tmp_path / "tower", {})
    refused(saved, tmp_path / "tower", "tensors are outside the decoder: model.visual")


def test_a_new_adapter_takes_the_place_of_the_old_one(saved: Saved, tmp_path: Path) -> None:
    subject, folder = saved.subject, tmp_path / "one"
    shutil.copytree(saved.lora, folder)
    reader = subject.load(adapter=str(saved.full))
    names = [name for name in decoder_parameters(reader.model) if "q_proj" in name]
    save_full(reader.model, subject.config, folder, {}, names)
    assert sorted(file.name for file in folder.iterdir()) == ["adapt.json", "decoder.safetensors"]
    assert torch.equal(subject.logits(subject.load(adapter=str(folder))), subject.logits(reader))


def test_a_full_disk_leaves_the_old_adapter_whole(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, folder = saved.subject, tmp_path / "one"
    shutil.copytree(saved.lora, folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    reader = subject.load()
    lora(reader.model, rank=2, alpha=4)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for where in ("safetensors.torch.save_file", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(where, full)
            with pytest.raises(UserError, match=r"cannot write .*one: No space left on device"):
                save_lora(reader.model, subject.config, folder, {})
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    # Killed between two of its files: the mixture is no adapter.
    real, calls = os.replace, []

    def once(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", once)
        with pytest.raises(UserError, match="Input/output error"):
            save_lora(reader.model, subject.config, folder, {})
    refused(saved, folder, "is not the file that adapt.json was written with")
    with pytest.raises(UserError, match="cannot write"):
        save_lora(reader.model, subject.config, tmp_path / "one" / "adapt.json", {})


def test_what_is_not_saved(saved: Saved, tmp_path: Path) -> None:
    subject, reader = saved.subject, saved.subject.load()
    adapted = replace(subject.config, adapter=str(saved.lora))
    with pytest.raises(UserError, match=r"^model.adapter: got .* allowed: null while"):
        save_full(reader.model, adapted, tmp_path / "a", {})
    inside = Path(str(subject.config.path)) / "adapter"
    with pytest.raises(UserError, match=r"^folder: got .*whose hash would change"):
        save_full(reader.model, subject.config, inside, {})
    with pytest.raises(UserError, match=r"^names: got \['model.visual.x'\]"):
        save_full(reader.model, subject.config, tmp_path / "a", {}, ["model.visual.x"])
    reader.model.requires_grad_(False)
    with pytest.raises(UserError, match=r"^names: got \[\]"):
        save_full(reader.model, subject.config, tmp_path / "a", {})
    (name, parameter), *_ = decoder_parameters(reader.model).items()
    with torch.no_grad():
        parameter[0, 0] = 1e30
    with pytest.raises(UserError, match="holds what is no finite number and is not saved"):
        save_full(reader.model, subject.config, tmp_path / "a", {}, [name], torch.float16)
    assert not (tmp_path / "a").exists()


def test_content_is_what_an_adapter_changes(saved: Saved, tmp_path: Path) -> None:
    copy = shutil.copytree(saved.lora, tmp_path / "copy")
    about = json.loads((copy / "adapt.json").read_text())
    (copy / "adapt.json").write_text(json.dumps({**about, "note": "else"}))
    assert content_hash(str(copy)) == content_hash(str(saved.lora)) != content_hash(str(saved.full))
    glm4v_remote_checkpoint.edit(copy / "adapter_config.json", lora_alpha=5)
    assert content_hash(str(copy)) != content_hash(str(saved.lora))
    with pytest.raises(UserError, match="a folder that exists"):
        content_hash(str(tmp_path / "gone"))
