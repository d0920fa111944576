"""Bytes and errors of `token_vq` on the bundled reader's tokens, codebooks untrained.

    python -m bench.token_codes [--fit 280] [--pages 80]

Codebooks are begun on pages of the train split, as `freqexp.train adapt` begins them, and measured
on pages of the eval split: bytes a page by component, what is shared apart, the squared error of
a (merged) token, and the bytes of indices on pages of random letters.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice

import torch

from freqexp.benchmarks.generate import generate
from freqexp.composing.compose import compose
from freqexp.nouns.vision import VisionTokens
from freqexp.readers.load import load_reader
from freqexp.tokens.token_vq import TokenVq

SETTINGS = (
    "compressor.kind=plain compressor.codes=256",
    "compressor.kind=residual",
    "compressor.kind=additive",
    "compressor.columns=2 compressor.books=4",
    "compressor.columns=2 compressor.books=4 compressor.kind=additive",
    "compressor.domain=dct compressor.band_books=[4,2,1]",
)
COLUMNS = (
    *("settings", "tokens", "indices", "header", "together", "a hundredth of the codebook"),
    *("squared error a token", "indices, random letters"),
)


def pages(reader: object, split: str, text: str) -> Iterator[VisionTokens]:
    """Encoded pages of conversations with 2, 4 and 8 needles in turn, without end."""
    render, seed = compose(["model=tiny"]).model.render.build(), 0
    while True:
        for needles in (2, 4, 8):
            (sample,) = generate(needles, 1, seed, "short", split=split, text=text)
            drawn = [page.pixels for page in render.render(sample.turns)]
            yield from reader.encode(drawn)  # type: ignore[attr-defined]
        seed += 1


def row(
    settings: str,
    fit: Sequence[VisionTokens],
    seen: Sequence[VisionTokens],
    letters: Sequence[VisionTokens],
) -> list[str]:
    """One line of the table."""
    run = compose(["compressor=token_vq", *settings.split()])
    vq = run.compressor.build(1.0, run.profile)
    assert isinstance(vq, TokenVq)
    network = vq.network(fit[0].features.shape[1]).train()
    with torch.no_grad():
        # Before there are codebooks training goes without: these are the tokens to be coded.
        exact = [vq.reduce(page).features for page in seen]
        vq.start(fit)
    network.eval()
    found = [vq.compress(page) for page in seen]
    parts = {name: mean([page.components[name] for page in found]) for name in found[0].components}
    errors = [
        (one - page.features).square().sum(1).mean() for one, page in zip(exact, found, strict=True)
    ]
    random = mean([vq.compress(page).components["indices"] for page in letters])
    figures = [
        len(found[0].kept),
        parts["indices"],
        parts["header"],
        parts["indices"] + parts["header"],
        parts["codebook"],
    ]
    shown = [f"{figure:.0f}" for figure in figures]
    error = float(torch.stack(errors).mean())
    return [settings.replace("compressor.", ""), *shown, f"{error:.2f}", f"{random:.0f}"]


def mean(values: Sequence[float]) -> float:
    """Of numbers."""
    return sum(values) / len(values)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Bytes and errors of token_vq.")
    parser.add_argument("--fit", type=int, default=280, help="pages that codebooks begin from")
    parser.add_argument("--pages", type=int, default=80, help="pages that are measured")
    given = parser.parse_args()
    reader = load_reader(compose(["model=tiny"]).model)
    fit = list(islice(pages(reader, "train", "english"), given.fit))
    seen = list(islice(pages(reader, "eval", "english"), given.pages))
    letters = list(islice(pages(reader, "eval", "random"), given.pages))
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for settings in SETTINGS:
        print(f"| {' | '.join(row(settings, fit, seen, letters))} |", flush=True)


if __name__ == "__main__":
    main()
