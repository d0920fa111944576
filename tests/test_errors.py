"""How a command ends."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from freqexp.errors import (
    BAD_INPUT,
    DONE,
    FAILED,
    INTERRUPTED,
    UNREAD,
    ConfigError,
    UserError,
    exit_code,
)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("no such thing"), BAD_INPUT, "mine: no such thing\n"),
        (ConfigError(["a: 1", "b: 2"]), BAD_INPUT, "mine: nothing was computed\na: 1\nb: 2\n"),
        (KeyboardInterrupt(), INTERRUPTED, "mine: interrupted; it goes on\n"),
    ],
)
def test_what_a_user_can_mend_is_a_line(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert exit_code(work, "mine", "it goes on") == code
    assert capsys.readouterr().err == said


def test_other_results_are_handed_on() -> None:
    assert exit_code(lambda: DONE) == DONE
    assert exit_code(lambda: FAILED) == FAILED


PRINTS = """
import sys
from freqexp.errors import exit_code

def work():
    for number in range(50_000):
        print(number)
    return 0

sys.exit(exit_code(work))
"""


@pytest.mark.parametrize("lines", [1, 3])
def test_a_reader_who_has_seen_enough_ends_it_in_silence(lines: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found = [process.stdout.readline() for _ in range(lines)]
        process.stdout.close()
        said = process.stderr.read()
    assert (found[-1], process.returncode, said) == (f"{lines - 1}\n", UNREAD, "")


def test_nobody_to_print_to_is_no_fault() -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -c "$0" >&-', PRINTS], capture_output=True
    )
    assert (done.returncode, done.stderr) == (DONE, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("lines", [1, 50_000])
def test_a_full_disk_behind_standard_output_is_a_line(lines: int) -> None:
    script = PRINTS.replace("50_000", str(lines))
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == FAILED
    said = "freqexp: standard output can't be written: No space left on device\n"
    assert done.stderr == said


def test_a_full_disk_elsewhere_is_what_it_was() -> None:
    def work() -> int:
        raise OSError(28, "No space left on device", "somewhere")

    with pytest.raises(OSError, match="somewhere"):
        exit_code(work)


@pytest.mark.parametrize(
    "command",
    [
        ["freqexp.run", b"output_dir=caf\xe9"],
        ["freqexp.status", b"caf\xe9"],
        ["freqexp.report", b"--out", b"caf\xe9"],
        ["freqexp.train", "adapt", b"adapt.out=caf\xe9"],
    ],
)
def test_bytes_that_are_no_text_are_refused_by_every_command(
    command: list[str | bytes], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == BAD_INPUT
    assert "argument: got " in done.stderr
    assert done.stderr.endswith("allowed: text in UTF-8\n")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("closed", [">&-", ">/dev/full"])
def test_the_exit_code_needs_no_standard_error(closed: str) -> None:
    script = (
        "import sys\nfrom freqexp.errors import UserError, exit_code\n"
        "def work():\n    raise UserError('x')\nsys.exit(exit_code(work))"
    )
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} 2{closed}"
    assert subprocess.run(["sh", "-c", line]).returncode == BAD_INPUT
