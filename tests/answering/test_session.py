from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import run_fakes
import torch
from run_fakes import Counting

from freqexp.answering.cache import ByteLru, pixels_key
from freqexp.config.cluster import ClusterConfig
from freqexp.errors import UserError
from freqexp.nouns.page import Page
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.render import CellsRender


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache: ByteLru[str] = ByteLru(10)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    assert cache.get("a") == "A"
    cache.put("c", "C", 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("A", None, "C")
    assert cache.used_bytes == 8


def test_the_cache_never_holds_more_than_its_limit() -> None:
    cache: ByteLru[str] = ByteLru(10)
    cache.put("a", "A", 10)
    cache.put("huge", "H", 11)
    assert (cache.get("a"), cache.get("huge")) == ("A", None)
    cache.put("a", "again", 3)
    assert (cache.get("a"), cache.used_bytes) == ("again", 3)
    cache.clear()
    assert (cache.get("a"), cache.used_bytes) == (None, 0)


def test_encodings_have_a_limit(counting: Counting) -> None:
    page = np.zeros((336, 336), np.uint8)
    others = [np.full((336, 336), value, np.uint8) for value in (1, 2)]
    one = 144 * 8 * 4
    session = counting.session(encodings_bytes=2 * one)
    for pixels in (page, *others, page):
        assert session.encode(counting.reader, [pixels], share=True)[1] is not None
    assert session.encode(counting.reader, [others[1]], share=True)[1] is None


def test_a_cached_encoding_is_the_encoders_own(counting: Counting) -> None:
    page = np.random.default_rng(0).integers(0, 256, (336, 336)).astype(np.uint8)
    session = counting.session()
    fresh, _ = session.encode(counting.reader, [page], share=True)
    cached, milliseconds = session.encode(counting.reader, [page.copy()], share=True)
    again = counting.reader.encode([page])
    assert milliseconds is None
    assert torch.equal(cached[0].features, fresh[0].features)
    assert torch.equal(cached[0].features, again[0].features)


def test_unshared_encodings_are_not_held(counting: Counting) -> None:
    session = counting.session()
    page = np.zeros((336, 336), np.uint8)
    for _ in range(2):
        assert session.encode(counting.reader, [page], share=False)[1] is not None


def test_the_key_tells_pages_apart() -> None:
    page = np.arange(12, dtype=np.uint8)
    keys = {
        pixels_key([page.reshape(3, 4)]),
        pixels_key([page.reshape(4, 3)]),
        pixels_key([page.reshape(4, 3), page.reshape(4, 3)]),
        pixels_key([page.reshape(2, 2, 3)]),
        pixels_key([np.ascontiguousarray(page.reshape(3, 4).T)]),
    }
    assert len(keys) == 5


def test_one_model_is_held_at_a_time(config: Any, counting: Counting) -> None:
    session = counting.session()
    page = np.zeros((336, 336), np.uint8)
    other = run_fakes.ModelConfig(
        name="other", max_new_tokens=9, form=run_fakes.Form.short, render=run_fakes.RENDER
    )
    session.reader(config())
    session.reader(config(compressor=BlockDctConfig(), keep_ratio=0.1))
    session.encode(counting.reader, [page], share=True)
    session.reader(config(model=other))
    assert session.encode(counting.reader, [page], share=True)[1] is not None
    session.reader(config())
    assert counting.loaded == ["fake", "other", "fake"]


def test_threads_are_set_before_the_model_is_loaded(config: Any, counting: Counting) -> None:
    before = torch.get_num_threads()
    try:
        counting.session().reader(config(cluster=ClusterConfig(threads=before + 1)))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_run_id_is_asked_for_once(config: Any, counting: Counting) -> None:
    asked = iter(["first", "second"])
    session = counting.session(run_id=lambda cfg: next(asked))
    assert session.run_id(config()) == session.run_id(config(sweep_name="mine")) == "first"
    assert session.run_id(config(seed=1)) == "second"


def test_pages_are_drawn_once(config: Any, counting: Counting) -> None:
    session, cfg = counting.session(), config()
    first, second = session.samples(cfg)[:2]
    drawn, milliseconds = session.render(cfg.model.render, first)
    assert milliseconds == drawn.render_ms > 0
    assert session.render(cfg.model.render, first) == (drawn, None)
    assert session.render(cfg.model.render, second)[1] is not None
    assert session.samples(cfg) is session.samples(config(keep_ratio=0.1))
    assert counting.data_loaded == 1


@dataclass
class Invisible(CellsRender):
    """Draws text without a trace, as with a font that has no letters."""

    def build(self) -> Any:
        return self

    def render(self, turns: Any) -> list[Page]:
        blank = np.full((336, 336), 255, np.uint8)
        return [Page(blank, ""), Page(blank, "\n".join(turn.user for turn in turns))]


def test_text_without_ink_is_an_error(counting: Counting, config: Any) -> None:
    sample = counting.session().samples(config())[0]
    with pytest.raises(UserError, match=r"page 2 has text, .* but no ink"):
        counting.session().render(Invisible(), sample)
