"""Codebooks in the loop: they begin, freeze, and go on from a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapt_settings import loop_of, student_of, tiny

from freqexp.readers.load import load_reader
from freqexp.train.adapt.output import write

GIVEN = (
    "compressor=token_vq",
    "compressor.codes=8",
    "compressor.columns=2",
    "compressor.merge.start=first",
    "adapt.steps=4",
    "adapt.uncompressed=0",
    "adapt.validate_every=4",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    student = student_of(*GIVEN)
    loop, curve = loop_of(student, folder)
    assert loop.run(lambda line: None)
    write(student, folder, loop.take_best(), curve.rows)
    return folder


@pytest.mark.parametrize("cut", [1, 3])
def test_a_training_that_was_cut_gives_the_same_codebooks(
    whole: Path, tmp_path: Path, cut: int
) -> None:
    first, _ = loop_of(student_of(*GIVEN), tmp_path)

    def say(line: str) -> None:
        """Nothing is said."""

    advance = first.advance

    def until() -> Any:
        found = advance()
        first.leaving = first.step == cut
        return found

    first.advance = until  # type: ignore[method-assign]
    assert not first.run(say)
    student = student_of(*GIVEN)
    second, curve = loop_of(student, tmp_path)
    assert second.run(say)
    write(student, tmp_path, second.take_best(), curve.rows)
    name = "compressor.safetensors"
    assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_what_comes_out_is_used_as_it_was_trained(whole: Path) -> None:
    student = student_of(*GIVEN)
    loop, _ = loop_of(student, whole)
    loop.take_best()
    _, run = tiny(*GIVEN)
    compressor: Any = replace(run.compressor, weights=str(whole))  # type: ignore[call-arg]
    built = compressor.build(1.0, run.profile)
    reader: Any = load_reader(replace(run.model, adapter=str(whole)))
    pixels = [page.pixels for page in run.model.render.build().render(loop._drawn(1)[0].turns)]
    (page, *_) = reader.encode(pixels)
    trained = student.learned
    assert trained is not None
    mine, theirs = trained.compress(page), built.compress(page)
    assert torch.equal(mine.features, theirs.features)
    assert mine.components == theirs.components
    assert mine.components["codebook"] > 0
