"""What every reader from outside must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from freqexp.conform.expect import REFUSALS, NotHereError, expect, refuses
from freqexp.nouns.page import Pixels
from freqexp.nouns.sample import Turn
from freqexp.nouns.vision import CompressedTokens, VisionTokens, keep_all
from freqexp.readers.base import Answer, Reader, Request
from freqexp.schemas.outside_model import OutsideModelConfig

QUESTION = "Which city did I ask for?"
TURNS = tuple(
    Turn(f"Write a line about {city}.", f"{city} lies at a river, and {count} bridges cross it.")
    for city, count in (("Prague", 18), ("Rome", 34), ("Lyon", 22), ("Oslo", 9))
)

LEAST_PAGES, MOST_TURNS = 2, 1024


@dataclass(frozen=True)
class ReaderCase:
    """A loaded reader with pages that its settings draw."""

    name: str
    reader: Reader
    pages: Sequence[Pixels]


def reader_case(config: OutsideModelConfig) -> ReaderCase:
    """The reader of a checked configuration. Raises UserError when it can't be loaded."""
    from freqexp.readers.load import load_reader

    renderer, turns = config.render.build(), list(TURNS)
    while len(pages := renderer.render(turns)) < LEAST_PAGES and len(turns) < MOST_TURNS:
        turns *= 2
    return ReaderCase(config.source, load_reader(config), [page.pixels for page in pages])


def encodes_every_page_into_tokens_on_a_grid(case: ReaderCase) -> None:
    """Features [rows * columns, channels], finite, the same again, in the order of the pages; the
    pages left alone.
    """
    before = [page.copy() for page in case.pages]
    tokens, again = (case.reader.encode(case.pages) for _ in range(2))
    wanted = len(case.pages) * case.reader.grids_a_page
    expect(len(tokens) == wanted, f"{len(tokens)} grids of {len(case.pages)} pages")
    for one, other in zip(tokens, again, strict=True):
        rows, columns = one.grid
        shape = tuple(one.features.shape)
        expect(shape[0] == rows * columns, f"features {shape} on a grid of {rows} x {columns}")
        expect(torch.isfinite(one.features).all(), "NaN or infinity in the features")
        expect(torch.equal(one.features, other.features), "other features again")
    alone = case.reader.encode(case.pages[-1:])
    for one, other in zip(alone, tokens[-len(alone) :], strict=True):
        near = torch.allclose(one.features, other.features, rtol=1e-4, atol=1e-4)
        expect(near, "a page alone has other features than among others")
    kept = all((a == b).all() for a, b in zip(before, case.pages, strict=True))
    expect(kept, "the pages were changed")


def gives_the_signals_it_says(case: ReaderCase) -> None:
    """A row a token of each, and the same features as without."""
    of_pages = [name for name in case.reader.signals if name != "question"]
    plain = case.reader.encode(case.pages)
    found = case.reader.encode(case.pages, of_pages)
    for one, other in zip(plain, found, strict=True):
        expect(torch.equal(one.features, other.features), "signals change the features")
        for name in of_pages:
            expect(name in other.signals, f"no signal {name}")
            rows = len(other.signals[name])
            expect(rows == len(other.features), f"{rows} rows of {name}, not one a token")
    if "question" in case.reader.signals:
        words = case.reader.question_embeddings(QUESTION)
        expect(words.shape[1:] == plain[0].features.shape[1:], f"question {tuple(words.shape)}")


def answers_and_measures(case: ReaderCase) -> None:
    """The same answer again; the tokens it says are those it was given."""
    vision = [keep_all(tokens) for tokens in case.reader.encode(case.pages)]
    answer = case.reader.answer(QUESTION, vision)
    given = sum(len(page.kept) for page in vision)
    expect(answer.vision_tokens_in in (given, None), f"vision_tokens_in {answer.vision_tokens_in}")
    seen = answer.vision_tokens_out
    expect(seen in (given, None), f"vision_tokens_out {seen}, given {given}")
    length = answer.decoder_tokens
    expect(length is None or length >= given, f"decoder_tokens {length}, given {given}")
    expect(answer.prefill_ms >= 0, f"prefill_ms {answer.prefill_ms}")
    expect(answer.decode_ms >= 0, f"decode_ms {answer.decode_ms}")
    expect(_said(case.reader.answer(QUESTION, vision)) == _said(answer), "another answer again")


def dropped_tokens_leave_the_sequence(case: ReaderCase) -> None:
    """Half of the tokens are half of them in the decoder, too, and its sequence is that much
    shorter.
    """
    tokens = case.reader.encode(case.pages)
    whole = case.reader.answer(QUESTION, [keep_all(page) for page in tokens])
    fewer = [_half(page) for page in tokens]
    answer = case.reader.answer(QUESTION, fewer)
    given, every = (sum(len(page.kept) for page in fewer), sum(len(t.features) for t in tokens))
    seen = answer.vision_tokens_out
    expect(seen in (given, None), f"vision_tokens_out {seen}, given {given}")
    counted = answer.vision_tokens_in
    expect(counted in (every, None), f"vision_tokens_in {counted}, encoded {every}")
    if answer.decoder_tokens is not None and whole.decoder_tokens is not None:
        gone = whole.decoder_tokens - answer.decoder_tokens
        expect(gone == every - given, f"{gone} tokens shorter for {every - given} dropped")
    if answer.kv_cache_bytes is not None and whole.kv_cache_bytes is not None:
        expect(answer.kv_cache_bytes < whole.kv_cache_bytes, "the KV cache is no smaller")


def answers_a_batch_as_it_answers_alone(case: ReaderCase) -> None:
    """In the order of the requests."""
    if not case.reader.can_batch:
        raise NotHereError("it says that it can't")
    vision = [keep_all(tokens) for tokens in case.reader.encode(case.pages)]
    questions = [QUESTION, "What is said about Rome?", "How many bridges are there in Lyon?"]
    together = case.reader.answer_batch([Request(question, vision) for question in questions])
    alone = [case.reader.answer(question, vision) for question in questions]
    expect([_said(a) for a in together] == [_said(a) for a in alone], "other answers in a batch")


def reads_the_text_it_says(case: ReaderCase) -> None:
    """Tokens of a text, and an answer to a question about it."""
    if not case.reader.reads_text:
        raise NotHereError("it says that it reads none")
    ids = case.reader.text_ids("Prague lies at a river.\n")
    expect(ids.ndim == 1 and ids.dtype == torch.int64 and len(ids), f"text_ids {tuple(ids.shape)}")
    (answer,) = case.reader.answer_batch([Request(QUESTION, [], text=ids)])
    length = answer.decoder_tokens
    expect(length is None or length >= len(ids), f"decoder_tokens {length} of {len(ids)} of text")


def refuses_what_it_cannot_read(case: ReaderCase) -> None:
    """No pages, and tokens that are not on their grid."""
    refuses(lambda: case.reader.encode([]), REFUSALS, "encoded no pages")
    refuses(lambda: case.reader.answer(QUESTION, []), REFUSALS, "answered without pages")
    page = keep_all(case.reader.encode(case.pages)[0])
    beyond = replace(page, kept=page.kept + page.grid[0] * page.grid[1])
    words = "answered with tokens outside their grid"
    refuses(lambda: case.reader.answer(QUESTION, [beyond]), REFUSALS, words)


CHECKS = (
    encodes_every_page_into_tokens_on_a_grid,
    gives_the_signals_it_says,
    answers_and_measures,
    dropped_tokens_leave_the_sequence,
    answers_a_batch_as_it_answers_alone,
    reads_the_text_it_says,
    refuses_what_it_cannot_read,
)


def _half(tokens: VisionTokens) -> CompressedTokens:
    whole = keep_all(tokens)
    return replace(whole, features=whole.features[::2], kept=whole.kept[::2], deepstack=())


def _said(answer: Answer) -> tuple[str, bool]:
    return answer.text, answer.truncated
