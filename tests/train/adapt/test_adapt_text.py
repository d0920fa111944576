"""A reader that is adapted to text learns from text, beside the pages that it could read before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from adapt_settings import loop_of, student_of, tiny

from freqexp.errors import ConfigError
from freqexp.train.adapt import command
from freqexp.train.adapt.lessons import Shape, draw
from freqexp.train.adapt.losses import pass_loss

TEXT = ("model.input=text", "compressor=none", "adapt.states=0")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_text_stands_in_for_pages(tmp_path: Path) -> None:
    student = student_of(*TEXT)
    lessons = draw(Shape(2, 3, "short"), 2, 3, "text")
    read = student.read(lessons)
    for exercise, lesson in zip(read.short, lessons, strict=True):
        assert not exercise.vision
        assert exercise.text is not None
        text = "".join(f"> {turn.user}\n{turn.assistant}\n" for turn in lesson.turns)
        assert student.reader.tokenizer.decode(exercise.text) == text
        assert exercise.questions == lesson.questions
    assert all(exercise.vision and exercise.text is None for exercise in read.full)
    assert read.after == sum(len(e.text) for e in read.short if e.text is not None)
    assert read.before > read.after
    # Answers are told as they are behind pages, so the reader can learn from what it was.
    text, pages = student.teach(read.short, False), student.teach(read.full, False)
    assert torch.equal(text.labels, pages.labels)
    assert set(pass_loss(student, read, True).terms) == {"answer", "right", "exact", "distil"}


def test_pages_are_not_drawn_for_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    student = student_of(*TEXT, "adapt.distil=0", "adapt.uncompressed=0", "adapt.steps=1")
    loop, _ = loop_of(student, tmp_path)
    loop._begun = True
    drawn: list[object] = []
    encode = student.reader.encode
    monkeypatch.setattr(
        student.reader, "encode", lambda *given, **more: drawn.append(given) or encode(*given)
    )
    loop.advance()
    assert drawn == []
    student.read(draw(Shape(1, 1, "short"), 1, 1, "text"))
    assert len(drawn) == 1


def test_the_command_learns_from_text_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "adapted"
    config, run = tiny(*TEXT, "adapt.distil=0", "adapt.steps=2", f"adapt.out={folder}")
    assert command.adapt(config, run)
    said = json.loads((folder / "adapt.json").read_text())
    assert said["settings"]["model.input"] == "text"
    assert {"held_answer", "whole_answer"} <= said["held_out"].keys()
    assert (folder / "adapter_model.safetensors").is_file()


def test_states_of_pages_are_none_of_text() -> None:
    with pytest.raises(ConfigError, match=r"adapt\.states: got 1\.0, allowed: 0 with model\.input"):
        tiny("model.input=text", "compressor=none")


def test_text_that_is_cut_is_not_learned_from() -> None:
    with pytest.raises(ConfigError, match=r"truncate \(stage text\)"):
        tiny("model.input=text", "compressor=truncate", "adapt.states=0")
