"""The loop can be cut off anywhere, says what goes wrong, and takes every kind of compressor."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapt_fakes import Centred, CentredConfig
from adapt_settings import (
    TINY,
    loop_of,
    run_to,
    same_tensors,
    student_of,
    tensors_of,
    timeless,
    tiny,
)

from freqexp.errors import DONE, INTERRUPTED, UserError
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Dtype, Form
from freqexp.train import checkpoint
from freqexp.train.adapt import command, curve, losses
from freqexp.train.adapt.config import Store
from freqexp.train.adapt.curve import Curve
from freqexp.train.adapt.loop import BEST, CHECKPOINT, refuse_other, schedule
from freqexp.train.adapt.said import settings
from freqexp.train.adapt.student import Student

STEPS = 5
MERGE = (
    "compressor=merge",
    f"adapt.steps={STEPS}",
    "adapt.validate_every=2",
    "adapt.checkpoint_every=2",
    "adapt.uncompressed=0.4",
)
OUTPUT = ("adapter_model.safetensors", "adapter_config.json", "compressor.safetensors")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@dataclass(frozen=True, eq=False)
class Whole:
    """A training that was never cut off."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *words, **how: lines.append(" ".join(words)))
        assert command.adapt(*tiny(*MERGE, f"adapt.out={folder}"))
    return Whole(folder, "\n".join(lines))


@pytest.fixture(scope="module")
def student() -> Student:
    """The same for several tests: see `fresh`."""
    return student_of(*MERGE)


@pytest.fixture(scope="module")
def beginning(student: Student) -> Mapping[str, Mapping[str, torch.Tensor]]:
    return student.state()


@pytest.fixture
def fresh(
    student: Student, beginning: Mapping[str, Mapping[str, torch.Tensor]]
) -> Iterator[Student]:
    """A student that has learnt nothing yet."""
    student.restore(beginning)
    yield student
    for group in student.groups():
        for parameter in group["params"]:
            parameter.grad = None


def assert_same(folder: Path, whole: Path) -> None:
    assert same_tensors(folder, whole)
    assert timeless(folder) == timeless(whole)
    for name in OUTPUT:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    one, other = (json.loads((each / "adapt.json").read_text()) for each in (folder, whole))
    for name in ("settings", "best_step", "held_out", "base", "files"):
        assert one[name] == other[name], name


def test_a_training_writes_a_curve_and_says_what_to_do_with_the_folder(whole: Whole) -> None:
    rows = timeless(whole.folder)
    assert [row["step"] for row in rows] == [0, 2, 4, 5, 5]
    watched = {"held_answer", "held_right", "held_exact", "whole_answer", "whole_right"}
    for row in (*rows[:3], rows[4]):
        assert watched < set(row)
        assert row["kept"] == 0.5
    terms = {"step", "answer", "right", "exact", "distil", "states", "gradient"}
    assert set(rows[3]) == terms
    assert rows[0]["held_answer"] != rows[0]["whole_answer"]
    assert curve.read(whole.folder / "curve.jsonl")[3]["step_seconds"] > 0
    about = json.loads((whole.folder / "adapt.json").read_text())
    assert about["settings"]["adapt.steps"] == STEPS
    assert about["settings"]["compressor.name"] == "merge"
    assert not {"adapt.out", "adapt.threads"} & set(about["settings"])
    (best,) = [row for row in rows if row["step"] == about["best_step"] and "kept" in row]
    assert about["held_out"] == best
    assert f"model.adapter={whole.folder}" in whole.said
    assert f"compressor.weights={whole.folder}" in whole.said


@pytest.mark.parametrize("cuts", [(0, 3), pytest.param((1, 2, 4), marks=pytest.mark.slow)])
def test_cut_off_and_taken_up_it_is_the_same(
    whole: Whole, fresh: Student, tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    for life, step in enumerate(cuts):
        # Whatever else the process drew before.
        torch.manual_seed(life)
        loop, _ = loop_of(fresh, tmp_path)
        assert not run_to(loop, step)
        assert loop.step == step
        assert checkpoint.load(tmp_path / CHECKPOINT)["step"] == step
    assert command.adapt(*tiny(*MERGE, f"adapt.out={tmp_path}"))
    assert_same(tmp_path, whole.folder)
    # At the end there is nothing more to do.
    before = (tmp_path / "curve.jsonl").read_bytes()
    assert command.adapt(*tiny(*MERGE, f"adapt.out={tmp_path}"))
    assert (tmp_path / "curve.jsonl").read_bytes() == before
    assert_same(tmp_path, whole.folder)


def test_killed_at_once_it_goes_on_from_the_last_checkpoint(
    whole: Whole, fresh: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After rows and a best checkpoint that the last checkpoint knows nothing of."""
    loop, _ = loop_of(fresh, tmp_path)
    saved = loop.save

    def killed() -> None:
        if loop.step == 4:
            raise KeyboardInterrupt
        saved()

    monkeypatch.setattr(loop, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        loop.run(lambda line: None)
    assert [row["step"] for row in timeless(tmp_path)] == [0, 2, 4]
    assert checkpoint.load(tmp_path / CHECKPOINT)["step"] == 2
    assert command.adapt(*tiny(*MERGE, f"adapt.out={tmp_path}"))
    assert_same(tmp_path, whole.folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_signals_are_obeyed_after_the_step_in_work(
    fresh: Student, tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    loop, _ = loop_of(fresh, tmp_path)
    read = fresh.read

    def told(*given: Any, **named: Any) -> Any:
        if loop.step == 1:
            os.kill(os.getpid(), number)
        return read(*given, **named)

    with pytest.MonkeyPatch.context() as patch, command.leaving(loop):
        patch.setattr(fresh, "read", told)
        assert loop.run(lambda line: None) is False
    assert loop.step == 2
    assert checkpoint.load(tmp_path / CHECKPOINT)["step"] == 2
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_waits_for_nothing(fresh: Student, tmp_path: Path) -> None:
    loop, _ = loop_of(fresh, tmp_path)
    with command.leaving(loop):
        os.kill(os.getpid(), signal.SIGINT)
        assert loop.leaving
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_a_process_told_to_end_leaves_a_checkpoint_and_says_so(
    whole: Whole, tmp_path: Path
) -> None:
    given = [*TINY, *MERGE, f"adapt.out={tmp_path}"]
    with subprocess.Popen(
        [sys.executable, "-m", "freqexp.train", "adapt", *given],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        end = time.monotonic() + 100
        while not (tmp_path / "curve.jsonl").exists() and child.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.02)
        child.send_signal(signal.SIGTERM)
        out, error = child.communicate(timeout=60)
    assert child.returncode == INTERRUPTED, error
    step = checkpoint.load(tmp_path / CHECKPOINT)["step"]
    assert f"left after step {step}; the same command goes on" in out
    assert "leaving after this step" in error
    assert step < STEPS
    assert not (tmp_path / "adapt.json").exists()
    assert command.main(given) == DONE
    assert_same(tmp_path, whole.folder)


def test_a_checkpoint_of_other_settings_is_refused_by_their_names(
    whole: Whole, fresh: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**fresh.said, "adapt.learning_rate": 0.5, "weights": "others"}
    before = tensors_of(whole.folder)
    monkeypatch.setattr(fresh, "said", other)
    said = r"adapt.learning_rate was 0.001, is 0.5; weights was '\w+', is 'others'"
    with pytest.raises(UserError, match=said):
        loop_of(fresh, whole.folder)
    assert all(torch.equal(before[n], t) for n, t in tensors_of(whole.folder).items())
    refuse_other(Path("x"), {"a": 1, "old": 2}, {"a": 1})
    with pytest.raises(UserError, match="b was None, is 2"):
        refuse_other(Path("x"), {"a": 1}, {"a": 1, "b": 2})


def test_what_changes_no_weight_may_change(fresh: Student) -> None:
    """Settings of where and how are none of the checkpoint's."""
    config, run = fresh.config, fresh.run
    own = settings(config, run)
    assert own == fresh.said
    here = replace(config, checkpoint_every=7, threads=2, recompute=True, out="elsewhere")
    here.store = Store.int8
    assert settings(here, run) == own
    for other in (
        replace(config, steps=6),
        replace(config, seed=1),
        replace(config, conversations=2),
        replace(config, shapes=[[1, 3]]),
    ):
        assert settings(other, run) != own
    wider: Any = run.compressor
    for another in (
        replace(run, needles=replace(run.needles, form=Form.long)),
        replace(run, compressor=replace(wider, rows=2)),
        replace(run, model=replace(run.model, dtype=Dtype.bfloat16)),
    ):
        assert settings(config, another) != own
    same = replace(run, keep_ratio=0.9, samples=3, seed=4, output_dir="elsewhere")
    assert settings(config, same) == own


def test_a_damaged_checkpoint_is_named(whole: Whole, fresh: Student, tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    content = (whole.folder / CHECKPOINT).read_bytes()
    for broken, said in (
        (content[: len(content) // 2], "not a checkpoint that can be read"),
        (b"", "not a checkpoint that can be read"),
        (b"words", "not a checkpoint that can be read"),
    ):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=said) as raised:
            loop_of(fresh, tmp_path)
        assert str(raised.value).startswith(f"{path}: ")
    checkpoint.save(path, {"stage": 0, "model": {}})
    with pytest.raises(UserError, match="not a checkpoint of `adapt`"):
        loop_of(fresh, tmp_path)
    path.unlink()
    loop, _ = loop_of(fresh, tmp_path)
    with pytest.raises(UserError, match=f"{BEST}: gone"):
        loop.take_best()


def test_a_loss_that_is_no_number_stops_before_it_changes_a_weight(
    fresh: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _ = loop_of(fresh, tmp_path)
    real, after_two = losses.divergence, []

    def broken(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        if loop.step == 2:
            after_two.append(fresh.state())
            return real(one, other) * math.nan
        return real(one, other)

    monkeypatch.setattr(losses, "divergence", broken)
    with pytest.raises(
        UserError, match=r"step 3: the loss is no number \(distil nan, gradient nan"
    ):
        loop.run(lambda line: None)
    found = checkpoint.load(tmp_path / CHECKPOINT)
    assert found["step"] == 2
    for part, tensors in after_two[0].items():
        for name, tensor in tensors.items():
            assert torch.equal(found["trained"][part][name], tensor)
            assert torch.equal(fresh.state()[part][name], tensor)


def test_an_absurd_rate_stops_with_the_step_named(tmp_path: Path) -> None:
    loop, _ = loop_of(student_of(*MERGE, "adapt.learning_rate=1e30"), tmp_path)
    with pytest.raises(UserError, match=r"step [123]: the loss .*no number .*adapt.learning_rate"):
        loop.run(lambda line: None)


def test_held_out_figures_that_are_no_number_stop_it(
    fresh: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _ = loop_of(fresh, tmp_path)
    figures = {"held_answer": math.nan, "whole_answer": 1.0}
    monkeypatch.setattr(loop._validation, "figures", lambda: figures)
    said = r"step 0: the loss on held-out conversations is no number \(held_answer nan"
    with pytest.raises(UserError, match=said):
        loop.run(lambda line: None)
    assert not (tmp_path / BEST).exists()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk, a write beyond that fails half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_the_old_checkpoint_stays(
    fresh: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _ = loop_of(fresh, tmp_path)
    run_to(loop, 1)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def refused(what: str) -> None:
        with pytest.raises(UserError, match=f"cannot write .*{CHECKPOINT}: {what}"):
            loop.save()
        assert (tmp_path / CHECKPOINT).read_bytes() == before
        assert not list(tmp_path.glob("*.part"))

    with files_of_at_most(len(before) // 2):
        refused("File too large")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *paths: raise_full())
        refused("No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", lambda *given: raise_writer())
        refused(".*unexpected pos 64 vs 0;")
    loop.save()
    again, _ = loop_of(fresh, tmp_path)
    assert again.step == 1


def raise_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raise_writer() -> None:
    raise RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 64 vs 0\nmore")


@pytest.mark.parametrize("at_first", [3.0, 0.5])
def test_the_best_is_what_comes_out(
    fresh: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_first: float
) -> None:
    """Not the beginning, which would be an adapter that changes nothing."""
    loop, _ = loop_of(fresh, tmp_path)
    values, states = iter([at_first, 1.0, 1.0, 2.0]), []

    def value(figures: dict[str, float]) -> float:
        states.append((loop.step, fresh.state()))
        return next(values)

    monkeypatch.setattr(loop._validation, "value", value)
    assert loop.run(lambda line: None)
    assert [step for step, _ in states] == [0, 2, 4, 5]
    assert loop.take_best() == 2
    for part, tensors in states[1][1].items():
        for name, tensor in tensors.items():
            assert torch.equal(fresh.state()[part][name], tensor)
            if "lora_B" in name:
                assert not torch.equal(states[3][1][part][name], tensor)


def test_running_statistics_are_part_of_the_state(tmp_path: Path) -> None:
    given = ("compressor=merge", "adapt.steps=4", "adapt.uncompressed=0", "adapt.distil=0")
    given = (*given, "adapt.codes_from=0")

    def student() -> Student:
        return student_of(*given, compressor=CentredConfig())

    whole, _ = loop_of(student(), tmp_path / "whole")
    assert run_to(whole, 4)
    first, _ = loop_of(student(), tmp_path / "cut")
    assert not run_to(first, 1)
    second_student = student()
    second, _ = loop_of(second_student, tmp_path / "cut")
    assert run_to(second, 4)
    assert same_tensors(tmp_path / "whole", tmp_path / "cut")
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "cut")
    found = checkpoint.load(tmp_path / "cut" / CHECKPOINT)["trained"]["compressor"]
    row = timeless(tmp_path / "cut")[-2]
    # What it adds to the loss, and what it keeps house of; frozen in the last quarter.
    assert {"codes", "pages"} < set(row)
    assert found["mean"].abs().max() > 0
    for loop, calls in ((whole, (1, 1, 4)), (first, (1, 0, 1)), (second, (0, 1, 3))):
        compressor = loop._student.learned
        assert isinstance(compressor, Centred)
        assert (compressor.started, compressor.froze, compressor.house) == calls
    assert int(found["seen"]) == 3
    # Held-out conversations leave no trace in it.
    with second_student.resting():
        before = second_student.state()["compressor"]
        second._validation.figures()
        assert torch.equal(before["seen"], second_student.state()["compressor"]["seen"])


def uncompressed(loop: Any, steps: int) -> list[bool]:
    """Which of a loop's first steps are without the compressor; nothing is computed."""
    flags: list[bool] = []

    def noted(passes: Any, compressed: bool) -> Mapping[str, float]:
        flags.append(not compressed)
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_gradients", noted)
        patch.setattr("freqexp.train.adapt.loop.draw", lambda *given: [])
        patch.setattr(loop, "step", 0)
        for _ in range(steps):
            loop.advance()
    return flags


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_steps_without_the_compressor_come_at_their_share(
    fresh: Student, tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _ = loop_of(fresh, tmp_path)
    monkeypatch.setattr(fresh.config, "uncompressed", share)
    flags = uncompressed(loop, 300)
    assert sum(flags) / 300 == pytest.approx(share, abs=0.06 if 0 < share < 1 else 0)
    assert flags[:20] == uncompressed(loop, 20)


OTHERS = {
    "none": ("compressor=none", "adapt.uncompressed=1", "adapt.steps=1"),
    "blank_prune": ("compressor=blank_prune",),
    "random_prune": ("compressor=random_prune", "keep_ratio=0.25"),
    "cdprune": (
        "compressor=cdprune",
        "keep_ratio=0.25",
        "adapt.shapes=[[1,2]]",
        "adapt.questions=2",
    ),
    "downsample": ("compressor=downsample", "keep_ratio=0.25"),
    "both": ("compressor=combined", "codec=posterize", "token=pool"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_compressors_without_parameters_stand_in_the_loop(name: str, tmp_path: Path) -> None:
    given = ("adapt.steps=2", "adapt.uncompressed=0", *OTHERS[name])
    student = student_of(*given)
    loop, rows = loop_of(student, tmp_path)
    assert loop.run(lambda line: None)
    first, taught, last = rows.rows
    assert ("held_answer" in first) == (name != "none")
    assert "codes" not in taught
    assert first["kept"] == last["kept"]
    kept = {"none": 1, "random_prune": 0.25, "cdprune": 0.25, "downsample": 0.25}.get(name)
    assert first["kept"] == kept if kept else 0 < first["kept"] < 1
    assert all(math.isfinite(value) for row in rows.rows for value in row.values())
    if name == "none":
        # Before the first step it is its own teacher.
        assert taught["distil"] == pytest.approx(0, abs=1e-6)
        assert taught["states"] == pytest.approx(0, abs=1e-6)
    assert all("lora" in tensor for tensor in student.state()["model"])
    assert not student.state()["compressor"]


def test_the_decoder_is_trained_beside_a_copy_of_itself(tmp_path: Path) -> None:
    given = ["compressor=blank_prune", "adapt.model=decoder", "adapt.steps=2"]
    given += [f"adapt.out={tmp_path}", "adapt.validate_every=1"]
    assert command.adapt(*tiny(*given))
    _, run = tiny(*given)
    base: Any = load_reader(run.model)
    trained = checkpoint.load(tmp_path / CHECKPOINT)["trained"]["model"]
    own = dict(base.model.named_parameters())
    words = {"model.language_model.embed_tokens.weight", "lm_head.weight"}
    assert set(trained) == {n for n in own if n.startswith("model.language_model.")} - words
    assert all(not torch.equal(own[name], tensor) for name, tensor in trained.items())
    again: Any = load_reader(replace(run.model, adapter=str(tmp_path)))
    found = dict(again.model.named_parameters())
    best = checkpoint.load(tmp_path / BEST)["trained"]["model"]
    assert all(torch.equal(found[name], tensor) for name, tensor in best.items())
    # The same command, done already, writes it once more: a quarter of the size.
    whole = (tmp_path / "decoder.safetensors").stat().st_size
    assert command.adapt(*tiny(*given, "adapt.store=int8"))
    assert (tmp_path / "decoder.safetensors").stat().st_size < 0.27 * whole
    close: Any = load_reader(replace(run.model, adapter=str(tmp_path)))
    found = dict(close.model.named_parameters())
    for name, tensor in best.items():
        changed = (tensor - own[name]).detach().abs().max()
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=float(changed) / 250)


def test_the_compressor_alone_is_trained_for_the_reader_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("compressor=merge", "adapt.model=nothing", "adapt.uncompressed=0")
    assert command.adapt(*tiny(*given, "adapt.steps=2", f"adapt.out={tmp_path}"))
    assert not list(tmp_path.glob("*adapter*"))
    out = capsys.readouterr().out
    assert f"compressor.weights={tmp_path}" in out
    assert "model.adapter" not in out
    compressor: Any = replace(tiny(*given)[1].compressor, weights=str(tmp_path))  # type: ignore[call-arg]
    network = compressor.build(1.0, None).network(192)
    best = checkpoint.load(tmp_path / BEST)["trained"]["compressor"]
    assert all(torch.equal(best[name], t) for name, t in network.state_dict().items())


def test_layers_computed_again_have_the_same_gradients(tmp_path: Path) -> None:
    for recompute in ("false", "true"):
        folder = tmp_path / recompute
        given = ("adapt.steps=2", "adapt.uncompressed=0.5", f"adapt.recompute={recompute}")
        loop, _ = loop_of(student_of("compressor=merge", *given), folder)
        assert loop.run(lambda line: None)
    one, other = tensors_of(tmp_path / "false"), tensors_of(tmp_path / "true")
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("steps", "warm_up", "decay"), [(10, 3, 0.5), (7, 0, 0.0), (4, 20, 1.0), (100, 10, 0.25)]
)
def test_the_rate_rises_stays_and_falls(steps: int, warm_up: int, decay: float) -> None:
    for step in range(steps):
        expected = 1.0
        if step < warm_up:
            expected = (step + 1) / (warm_up + 1)
        left = steps - step
        if left < decay * steps:
            expected = min(expected, left / (decay * steps))
        assert schedule(step, steps, warm_up, decay) == pytest.approx(expected)
    assert 0 < schedule(steps - 1, steps, warm_up, decay) <= 1


def test_rates_follow_the_schedule_from_their_own_peaks(
    fresh: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _ = loop_of(fresh, tmp_path)
    monkeypatch.setattr(loop, "_rates", [0.5, 0.25])
    seen = []
    real: Callable[[], None] = loop._optimizer.step

    def noted() -> None:
        seen.append([group["lr"] for group in loop._optimizer.param_groups])
        real()

    monkeypatch.setattr(loop._optimizer, "step", noted)
    uncompressed(loop, STEPS)
    shares = [schedule(step, STEPS, 0, 0.5) for step in range(STEPS)]
    assert seen == [[0.5 * share, 0.25 * share] for share in shares]


def test_the_curve_is_a_file_and_followers(tmp_path: Path) -> None:
    told: list[tuple[int, Mapping[str, float]]] = []
    first = Curve(tmp_path)
    for step in (0, 2, 4):
        first.add(step, {"answer": step / 2})
    assert [dict(row) for row in first.rows] == curve.read(tmp_path / "curve.jsonl")
    with (tmp_path / "curve.jsonl").open("a") as file:
        file.write('{"answer": 3}\n[]\n{"step": 6, "ans')
    second = Curve(tmp_path, [lambda step, row: told.append((step, row))])
    second.resume(2)
    assert told == [(0, {"answer": 0.0}), (2, {"answer": 1.0})]
    second.add(4, {"answer": 9.0})
    assert told[-1] == (4, {"answer": 9.0})
    assert [row["step"] for row in curve.read(tmp_path / "curve.jsonl")] == [0, 2, 4]
    assert curve.read(tmp_path / "none.jsonl") == []
    Curve(None).add(0, {"answer": 1.0})
    with files_of_at_most(10), pytest.raises(UserError, match="File too large"):
        second.add(6, {"answer": 1.0})
    assert [row["step"] for row in curve.read(tmp_path / "curve.jsonl")] == [0, 2, 4]
