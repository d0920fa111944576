"""What the bench of token methods times and judges."""

from __future__ import annotations

import pytest

from bench.selectors import (
    GREEDY,
    Turn,
    judged,
    made_up,
    main,
    methods,
    nothing_stored,
    with_signals,
)
from freqexp.schemas.compressor import COMPRESSORS, names_at
from freqexp.schemas.learned import LearnedConfig
from freqexp.schemas.section import option_name


def test_every_token_method_without_parameters_is_timed() -> None:
    names = [name for name, _, _ in methods()]
    learned = [option_name(each) for each in COMPRESSORS if issubclass(each, LearnedConfig)]
    assert sorted([*names, *learned, "none"]) == names_at("token")
    assert set(GREEDY) <= set(names)


def test_nothing_is_stored_and_the_choice_is_the_same() -> None:
    page = made_up((3, 4), 0)
    for name, compressor, signals in methods():
        given = with_signals(page, signals)
        stored = compressor.compress(given)
        with nothing_stored():
            bare = compressor.compress(given)
        assert stored.stored_bytes, name
        assert bare.stored_bytes == 0, name
        assert bare.kept.equal(stored.kept), name
        assert bare.features.equal(stored.features), name


def test_the_limit_is_for_the_median_share_of_the_whole_call() -> None:
    turns = [Turn(3.0, 1.0, 100.0), Turn(1.0, 0.5, 100.0), Turn(9.0, 0.5, 100.0)]
    line, met = judged("pool", turns)
    assert line.split() == ["pool", "3.0", "3.00%", "0.5", "0.50%", "2%", "missed"]
    assert not met
    line, met = judged("scope", turns)
    assert line.endswith("10%  met")
    assert met


@pytest.mark.parametrize(("compress", "missed"), [(1.0, False), (3.0, True)])
def test_the_exit_status_says_whether_a_limit_is_missed(
    monkeypatch: pytest.MonkeyPatch, compress: float, missed: bool
) -> None:
    monkeypatch.setattr("sys.argv", ["selectors"])
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    monkeypatch.setattr("bench.selectors.Tower", lambda: None)
    monkeypatch.setattr("bench.selectors.SHAPES", ((1, (1, 2)),))
    rounds = {"pool": [Turn(compress, 0.5, 100.0)], "scope": [Turn(9.0, 0.5, 100.0)]}
    monkeypatch.setattr("bench.selectors.measure", lambda *_: rounds)
    if missed:
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
    else:
        main()
