"""Settings of generation: what a checkpoint brings and acts is told, and what is set aside."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import run_fakes
from reader_checkpoints import KINDS, Plain, configure, noise_pages, write_checkpoint
from run_fakes import Counting

from freqexp.nouns.vision import keep_all
from freqexp.readers.families.hf import HfReader
from freqexp.readers.load import load_reader
from freqexp.running.execute import execute, run_folder
from freqexp.running.progress import Lines

KIND = KINDS["qwen2_vl"]
QUESTION = "What does page 2 say, and why?"
PLAIN = {
    "do_sample": False,
    "max_new_tokens": 12,
    "repetition_penalty": 1.0,
    "eos_token_id": [1, 0],
    "pad_token_id": 0,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(KIND, tmp_path_factory.mktemp("settings") / "plain")


def with_settings(checkpoint: Path, folder: Path, **settings: Any) -> Path:
    """A copy of a checkpoint whose generation_config.json says this, too."""
    shutil.copytree(checkpoint, folder)
    file = folder / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    return folder


def loaded(folder: Path, **changes: Any) -> HfReader:
    reader = load_reader(replace(configure(KIND, folder), **changes))
    assert isinstance(reader, HfReader)
    return reader


def answer(reader: HfReader) -> Any:
    pages = noise_pages(KIND, ((3, 4),))
    return reader.answer(QUESTION, [keep_all(page) for page in reader.encode(pages)])


def test_a_checkpoint_without_settings_of_its_own(checkpoint: Path) -> None:
    assert loaded(checkpoint).generation == PLAIN


@pytest.mark.parametrize(
    "own",
    [
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": 12},
        {"suppress_tokens": list(range(20, 90))},
        {"min_length": 300, "no_repeat_ngram_size": 3},
    ],
)
def test_a_checkpoints_settings_are_set_aside_and_told(
    checkpoint: Path, tmp_path: Path, own: dict[str, Any]
) -> None:
    folder = with_settings(checkpoint, tmp_path / "own", repetition_penalty=1.1, **own)
    reader = loaded(folder)
    assert reader.generation == {**PLAIN, "repetition_penalty": 1.1, "set_aside": own}
    pages = noise_pages(KIND, ((3, 4),))
    wanted = Plain.load(KIND, checkpoint).generate(QUESTION, pages, repetition_penalty=1.1)
    assert answer(reader).text == wanted


def test_a_checkpoints_penalty_stands_in_provenance_and_acts(
    checkpoint: Path, tmp_path: Path
) -> None:
    folder = with_settings(checkpoint, tmp_path / "own", repetition_penalty=1.1)
    model = configure(KIND, folder)
    cfg = run_fakes.make_config(str(tmp_path / "outputs"), model=model, samples=1)
    session = Counting().session(reader=load_reader)
    execute(cfg, session, Lines(io.StringIO()))
    path = run_folder(cfg, run_fakes.fake_run_id(cfg)) / "provenance.json"
    assert json.loads(path.read_text())["generation"] == {**PLAIN, "repetition_penalty": 1.1}
    # The configuration's word counts more, and leads to another answer.
    other = loaded(folder, repetition_penalty=1.0)
    assert other.generation == PLAIN
    assert answer(other).text != answer(loaded(folder)).text


def test_what_greedy_decoding_does_not_look_at_is_not_told(
    checkpoint: Path, tmp_path: Path
) -> None:
    folder = with_settings(
        checkpoint,
        tmp_path / "sampled",
        do_sample=True,
        temperature=0.3,
        top_k=7,
        top_p=0.8,
        length_penalty=2.0,
        max_length=4,
        use_cache=False,
        return_dict_in_generate=True,
        something_unknown=3,
    )
    reader = loaded(folder)
    assert reader.generation == PLAIN
    # It answers as ever: the cache is measured, and 4 is no limit.
    assert answer(reader).text == answer(loaded(checkpoint)).text
    assert answer(reader).kv_cache_bytes > 0
