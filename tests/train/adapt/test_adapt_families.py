"""Every family learns with a learned compressor, and what it learnt comes back from its folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import glm4v_remote_checkpoint
import llava_checkpoint
import pytest
import torch
from adapt_settings import tiny
from reader_checkpoints import KINDS, configure, write_checkpoint

from freqexp.answering.pipeline import Pipeline
from freqexp.answering.session import Session
from freqexp.config.run import RunConfig
from freqexp.errors import UserError
from freqexp.nouns.sample import Sample, Turn
from freqexp.nouns.teaching import Exercise
from freqexp.schemas.choices import Family, Form
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.render import CellsRender
from freqexp.train.adapt.config import AdaptConfig
from freqexp.train.adapt.lessons import Lesson
from freqexp.train.adapt.losses import pass_loss
from freqexp.train.adapt.output import write
from freqexp.train.adapt.student import Student

FAMILIES = [*sorted(KINDS), "llava_onevision", "glm4v_remote"]
PAGE = CellsRender(columns=12, rows=3)
LESSONS = [
    Lesson((Turn("poem", "A bee."),), (("Which poem?", "A bee."), ("Who?", "bee"))),
    Lesson((Turn("song", "Two owls"),), (("Which song?", "owls"),)),
]


@dataclass(frozen=True, eq=False)
class Taught:
    """A student after its lessons. losses: of each step."""

    config: AdaptConfig
    run: RunConfig
    student: Student
    losses: list[float]
    encoder: dict[str, torch.Tensor]


@pytest.fixture(scope="module", autouse=True)
def code_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with glm4v_remote_checkpoint.code_cache_in(tmp_path_factory.mktemp("modules")) as folder:
        yield folder


def model_of(name: str, folder: Path) -> ModelConfig:
    if name in KINDS:
        kind = KINDS[name]
        return replace(configure(kind, write_checkpoint(kind, folder)), render=PAGE)
    remote = name == "glm4v_remote"
    build = (glm4v_remote_checkpoint if remote else llava_checkpoint).build_checkpoint
    return ModelConfig(
        name="random",
        max_new_tokens=12,
        form=Form.short,
        render=PAGE,
        family=Family(name),
        path=str(build(folder)),
        trust_remote_code=remote,
    )


@pytest.fixture(scope="module", params=FAMILIES)
def taught(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    torch.set_num_threads(1)
    states = 0 if request.param == "glm4v_remote" else 1
    config, run = tiny(
        "compressor=merge",
        "adapt.learning_rate=0.01",
        "adapt.compressor_rate=0.01",
        f"adapt.states={states}",
    )
    folder = tmp_path_factory.mktemp("family") / request.param
    run = replace(run, model=model_of(request.param, folder))
    student = Student(config, run)
    encoder = {
        name: tensor.clone()
        for name, tensor in student.reader.model.named_parameters()
        if name not in student.weights
    }
    optimizer, losses = torch.optim.AdamW(student.groups()), []
    for _ in range(20):
        loss = pass_loss(student, student.read(LESSONS), compressed=True)
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.total.item())
    return Taught(config, run, student, losses, encoder)


def test_twenty_steps_lower_the_loss(taught: Taught) -> None:
    assert taught.losses[-1] < 0.9 * taught.losses[0]
    now = dict(taught.student.reader.model.named_parameters())
    assert all(torch.equal(now[name], tensor) for name, tensor in taught.encoder.items())
    fresh = taught.run.compressor.build(1.0, taught.run.profile)
    channels = taught.student.reader.model.config.get_text_config().hidden_size
    network: Any = fresh.network(channels)  # type: ignore[union-attr]
    assert taught.student.network is not None
    moved = taught.student.network.state_dict()
    assert all(not torch.equal(moved[n], tensor) for n, tensor in network.named_parameters())


def test_marks_of_intact_tokens_are_those_of_the_sequences(taught: Taught) -> None:
    read = taught.student.read(LESSONS)
    vision = taught.student.teach(read.short, states=False).vision
    marks = [torch.full_like(mark, number % 2 == 1) for number, mark in enumerate(read.intact)]
    marked = replace(read, intact=marks).intact_in(len(vision))
    assert len(marked) == int(vision.sum())
    wanted, alone = [], len(vision) == len(read.short)
    for number, exercise in enumerate(read.short):
        tokens = sum(len(page.kept) for page in exercise.vision)
        wanted += [number % 2 == 1] * (tokens if alone else tokens * len(exercise.questions))
    assert marked.tolist() == wanted
    assert not any(map(torch.any, read.intact))


def logits_of(pipeline: Pipeline, reader: Any) -> torch.Tensor:
    """Of the lessons' answers, in a run."""
    exercises = []
    for lesson in LESSONS:
        pages = [page.pixels for page in PAGE.build().render(lesson.turns)]
        tokens = pipeline._stage.shorten(reader.encode(pages), lesson.questions[0][0]).tokens
        exercises.append(Exercise(tokens, lesson.questions))
    logits: torch.Tensor = reader.teach(exercises).logits
    return logits


@torch.no_grad()
def test_a_run_with_the_folder_answers_as_the_student_did(taught: Taught, tmp_path: Path) -> None:
    student, reader = taught.student, taught.student.reader
    write(student, tmp_path, 20, [])
    with student.resting():
        short = student.read(LESSONS).short
        logits = student.teach(short, states=False).logits
        answers = [reader.answer(one.questions[0][0], one.vision).text for one in short]
    compressor: Any = taught.run.compressor
    adapted = replace(
        taught.run,
        model=replace(taught.run.model, adapter=str(tmp_path)),
        compressor=replace(compressor, weights=str(tmp_path)),
    )
    session = Session()
    pipeline = Pipeline(adapted, session)
    records = []
    for lesson in LESSONS:
        question, answer = lesson.questions[0]
        sample = Sample("", 1, "", lesson.turns, question, answer, "")
        ((record, _),) = pipeline.run([sample])
        records.append(record)
    assert [record.error for record in records] == [None, None]
    assert [record.answer for record in records] == answers
    for record in records:
        assert record.vision_tokens_in is not None
        assert record.vision_tokens_out is not None
        assert record.vision_tokens_out < 0.7 * record.vision_tokens_in
    found = logits_of(pipeline, session.reader(adapted))
    torch.testing.assert_close(found, logits, rtol=0, atol=1e-4)
    # Neither half of what was learnt is for nothing.
    for changes in ({"model": taught.run.model}, {"compressor": taught.run.compressor}):
        other = replace(adapted, **changes)
        half = logits_of(Pipeline(other, session), session.reader(other))
        assert (half - logits).abs().max() > 0.01


def test_pages_that_are_not_one_are_refused_by_the_remote_family(tmp_path: Path) -> None:
    config, run = tiny("compressor=merge", "adapt.states=0")
    model = model_of("glm4v_remote", tmp_path / "base")
    student = Student(config, replace(run, model=model))
    turn = Turn("poem", "A bee and forty more of them, that no page holds.")
    with pytest.raises(UserError, match="sample: got 4 pages, allowed: exactly 1"):
        student.read([Lesson((turn, turn), (("Who?", "bee"),))])
