"""What `hydra.verbose` shows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from freqexp.composing.compose import collect
from freqexp.composing.loggers import turn_up


@contextmanager
def as_in_a_program() -> Iterator[None]:
    """Without pytest's handlers, which are there in no program; the loggers as they were after."""
    names = ("", "freqexp", "freqexp_cluster", "other.one")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    logging.getLogger().handlers[:] = []
    try:
        yield
    finally:
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers


def test_lines_of_ours_are_shown_on_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    with as_in_a_program():
        collect(["hydra.verbose=true", "seed=1"])
        collect(["hydra.verbose=true", "seed=1"])
        logging.getLogger("freqexp.anything").debug("so much")
        logging.getLogger("other.one").info("not this")
    shown = capsys.readouterr().err
    assert shown.count("so much") == 1
    assert "1 points composed and checked" in shown
    assert "not this" not in shown


def test_names_are_turned_up_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with as_in_a_program():
        collect(["hydra.verbose=[other.one]"])
        logging.getLogger("freqexp.anything").info("not this")
        logging.getLogger("other.one").info("this")
    shown = capsys.readouterr().err
    assert "not this" not in shown
    assert "INFO other.one: this" in shown


def test_nothing_is_turned_up_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    with as_in_a_program():
        turn_up(False)
        collect(["seed=1"])
        assert logging.getLogger("freqexp").level == logging.NOTSET
    assert capsys.readouterr().err == ""
