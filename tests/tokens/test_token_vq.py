"""Vector quantisation of vision tokens, against faiss, vector_quantize_pytorch and plain loops."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import faiss
import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor
from vector_quantize_pytorch import VectorQuantize  # type: ignore[import-untyped]

from freqexp.composing.compose import compose
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.merge import Merge
from freqexp.tokens.token_vq import TokenVq
from freqexp.tokens.trained.books import Books
from freqexp.tokens.trained.codes import Codes
from freqexp.tokens.trained.fit import fitted, k_means, least_squares
from freqexp.tokens.trained.search import assigned, summed
from freqexp.tokens.trained.settings import MergeSettings, VqSettings
from freqexp.tokens.trained.vq_network import VqNetwork

CHANNELS = 12
GRID = (4, 6)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def two_parts(count: int, seed: int = 0, parts: int = 12, spread: float = 0.1) -> Tensor:
    """Vectors that are the sum of one of some vectors and one of others, and noise."""
    generator = torch.Generator().manual_seed(seed)
    left, right = noise(parts, CHANNELS, seed=101), noise(parts, CHANNELS, seed=102)
    one, other = (torch.randint(parts, (count,), generator=generator) for _ in range(2))
    return left[one] + right[other] + spread * noise(count, CHANNELS, seed=seed)


def pages(count: int = 12, grid: tuple[int, int] = GRID) -> list[VisionTokens]:
    size = grid[0] * grid[1]
    down, across = noise(grid[0], 1, CHANNELS, seed=7), noise(1, grid[1], CHANNELS, seed=8)
    places = (down + across).flatten(0, 1)
    return [
        VisionTokens((two_parts(size, seed=seed) + places).float(), grid) for seed in range(count)
    ]


def started(settings: VqSettings, count: int = 12) -> TokenVq:
    made = TokenVq(settings)
    made.start(pages(count))
    return made


def small(**changed: object) -> VqSettings:
    return replace(VqSettings(codes=8), **changed)  # type: ignore[arg-type]


def error_of(vectors: Tensor, books: Tensor, improve: bool = False) -> float:
    index = assigned(vectors, books, 8, improve)
    return float((vectors - summed(books, index)).square().sum(1).mean())


def network_of(made: TokenVq) -> VqNetwork:
    network = made.network(CHANNELS)
    assert isinstance(network, VqNetwork)
    return network


# Search


def test_a_wide_beam_finds_the_nearest_sum() -> None:
    vectors, books = noise(40, 3, seed=1), noise(3, 5, 3, seed=2)
    sums = torch.stack(
        [
            books[0, i] + books[1, j] + books[2, k]
            for i, j, k in itertools.product(range(5), repeat=3)
        ]
    )
    best = torch.cdist(vectors, sums).argmin(1)
    found = assigned(vectors, books, 25)
    assert torch.equal(found[:, 0] * 25 + found[:, 1] * 5 + found[:, 2], best)


def test_a_beam_of_one_is_greedy() -> None:
    vectors, books = noise(40, 3, seed=1), noise(3, 5, 3, seed=2)
    left, expected = vectors.clone(), []
    for book in books:
        expected.append(torch.cdist(left, book).argmin(1))
        left = left - book[expected[-1]]
    assert torch.equal(assigned(vectors, books, 1), torch.stack(expected, dim=1))


def test_improvement_ends_where_no_code_word_alone_does_better() -> None:
    vectors, books = noise(60, 4, seed=3), noise(3, 6, 4, seed=4)
    plain, better = assigned(vectors, books, 1), assigned(vectors, books, 1, improve=True)
    errors = [(vectors - summed(books, found)).square().sum(1) for found in (plain, better)]
    assert bool((errors[1] <= errors[0] + 1e-9).all())
    assert float(errors[1].sum()) < float(errors[0].sum())
    for book, code in itertools.product(range(3), range(6)):
        changed = better.clone()
        changed[:, book] = code
        error = (vectors - summed(books, changed)).square().sum(1)
        assert bool((errors[1] <= error + 1e-6).all())


def test_equal_code_words_go_by_index() -> None:
    books = noise(1, 4, 3, seed=5).repeat(2, 2, 1)
    for beam in (1, 3, 8):
        found = assigned(noise(50, 3, seed=6), books, beam)
        assert int(found[:, 0].max()) < 4
    flat = assigned(torch.zeros(5, 3), torch.ones(2, 4, 3), 8, improve=True)
    assert not flat.any()
    assert assigned(torch.zeros(0, 3), torch.ones(2, 4, 3)).shape == (0, 2)
    assert assigned(torch.zeros(5, 3), torch.ones(0, 4, 3)).shape == (5, 0)


# Codebooks


def test_k_means_is_as_good_as_that_of_faiss() -> None:
    vectors = two_parts(2000, parts=4)
    ours = error_of(vectors, k_means(vectors, 24)[None])
    theirs = faiss.Kmeans(CHANNELS, 24, niter=32, seed=1, nredo=3)
    theirs.train(vectors.float().numpy())
    assert theirs.obj is not None
    assert ours <= 1.05 * theirs.obj[-1] / len(vectors)


def test_residual_and_additive_books_are_as_good_as_those_of_faiss() -> None:
    """Two books of 16: residual ones can't take two-part tokens apart, additive ones can."""
    given, test = two_parts(1000), two_parts(500, seed=1)
    errors = {}
    for kind, made in (
        ("residual", faiss.ResidualQuantizer(CHANNELS, 2, 4)),
        ("additive", faiss.LocalSearchQuantizer(CHANNELS, 2, 4)),
    ):
        made.train(given.float().numpy())
        decoded = made.decode(made.compute_codes(test.float().numpy()))
        theirs = float(((test.numpy() - decoded) ** 2).sum(1).mean())
        books = fitted(given, kind, 2, 16)
        errors[kind] = error_of(test, books, kind == "additive")
        assert errors[kind] <= 1.05 * theirs
    assert errors["additive"] < 0.5 * errors["residual"]


def test_least_squares_is_that_of_numpy() -> None:
    vectors, generator = noise(300, 5, seed=1), torch.Generator().manual_seed(2)
    indices = torch.randint(4, (300, 3), generator=generator)
    books = noise(3, 4, 5, seed=3)
    rows = np.zeros((300, 12))
    for book in range(3):
        rows[np.arange(300), 4 * book + indices[:, book].numpy()] = 1
    solved = np.linalg.lstsq(rows, vectors.numpy(), rcond=None)[0]
    expected = ((vectors.numpy() - rows @ solved) ** 2).sum()
    found = vectors - summed(least_squares(vectors, indices, books), indices)
    assert float(found.square().sum()) == pytest.approx(expected, rel=1e-6)
    alone = torch.zeros_like(indices)
    kept = least_squares(vectors, alone, books)
    torch.testing.assert_close(kept[:, 1:], books[:, 1:])


def test_fitting_is_deterministic_and_takes_few_and_equal_vectors() -> None:
    for kind in ("residual", "additive"):
        vectors = two_parts(200)
        one, other = (fitted(vectors, kind, 2, 8, steps=4) for _ in range(2))
        assert torch.equal(one, other)
        assert fitted(vectors[:3], kind, 2, 8).shape == (2, 3, CHANNELS)
        flat = fitted(torch.ones(20, 4), kind, 2, 8)
        assert bool(torch.isfinite(flat).all())
        assert error_of(torch.ones(5, 4).double(), flat, True) < 1e-12
    three = k_means(torch.tensor([[0.0], [0.0], [5.0], [9.0]]).double(), 3)
    assert sorted(three.flatten().tolist()) == [0, 5, 9]


# Training


def theirs_and_ours(decay: float) -> tuple[VectorQuantize, Books]:
    theirs = VectorQuantize(
        CHANNELS, 8, decay=decay, commitment_weight=0.25, rotation_trick=False, kmeans_init=False
    )
    ours = Books(1, 8, CHANNELS, joint=False)
    held = theirs._codebook
    codes = noise(8, CHANNELS, seed=1).half().float()
    uses = torch.arange(1.0, 9.0)
    for mine, other, value in (
        (ours.codes, held.embed, codes),
        (ours.uses, held.cluster_size, uses),
        (ours.sums, held.embed_avg, codes * uses[:, None]),
    ):
        mine[0] = value
        other.data[0] = value
    return theirs, ours


def test_a_step_of_the_running_means_is_that_of_vector_quantize_pytorch() -> None:
    theirs, ours = theirs_and_ours(0.9)
    vectors = 2 * noise(50, CHANNELS, seed=2).float()
    _, index, _ = theirs.train()(vectors[None])
    found = assigned(vectors, ours.rounded())
    assert torch.equal(found[:, 0], index[0])
    # In two parts: what is taken in between two steps is one batch.
    ours.observe(vectors[:20], found[:20])
    ours.observe(vectors[20:], found[20:])
    ours.step(0.9)
    held = theirs._codebook
    torch.testing.assert_close(ours.uses, held.cluster_size)
    torch.testing.assert_close(ours.sums, held.embed_avg)
    torch.testing.assert_close(ours.codes, held.embed.data)
    before = ours.codes.clone()
    ours.step(0.9)
    assert torch.equal(ours.codes, before)
    # A step that took nothing in moves nothing, whoever asks what it took.
    assert not any(tensor.any() for tensor in ours.pending())
    ours.step(0.9)
    assert torch.equal(ours.codes, before)


def test_processes_that_add_up_what_they_took_in_move_alike() -> None:
    (_, whole), (_, one), (_, other) = (theirs_and_ours(0.9) for _ in range(3))
    vectors = 2 * noise(50, CHANNELS, seed=2).float()
    found = assigned(vectors, whole.rounded())
    whole.observe(vectors, found)
    one.observe(vectors[:20], found[:20])
    other.observe(vectors[20:], found[20:])
    for mine, theirs in zip(one.pending(), other.pending(), strict=True):
        mine += theirs
        theirs.copy_(mine)
    for books in (whole, one, other):
        books.step(0.9)
    torch.testing.assert_close(one.codes, whole.codes)
    assert torch.equal(one.codes, other.codes)


def test_gradient_and_loss_are_those_of_vector_quantize_pytorch() -> None:
    made = TokenVq(small(kind="plain", center=False))
    theirs, ours = theirs_and_ours(0.99)
    network = network_of(made)
    network.books[0].load_state_dict(ours.state_dict())
    network.begun.fill_(True)
    network.train()
    features = noise(24, CHANNELS, seed=3).float()
    results = []
    for quantise in ("ours", "theirs"):
        leaf = features.clone().requires_grad_()
        if quantise == "ours":
            found = made.reduce(VisionTokens(leaf, GRID))
            value, loss = found.features, found.loss
        else:
            value, _, loss = theirs.train()(leaf[None])
            value, loss = value[0], loss.sum()
        assert loss is not None
        (value.sin().sum() + loss).backward()
        results.append((value.detach(), loss.detach(), leaf.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("joint", [False, True])
def test_what_a_code_word_stands_for_in_several_books(joint: bool) -> None:
    books = Books(3, 4, 5, joint)
    books.codes.copy_(noise(3, 4, 5, seed=1))
    vectors, generator = noise(30, 5, seed=2), torch.Generator().manual_seed(3)
    indices = torch.randint(4, (30, 3), generator=generator)
    rounded = books.rounded().double()
    books.observe(vectors, indices)
    books.step(0.0)
    for book, code in itertools.product(range(3), range(4)):
        targets = []
        for vector, index in zip(vectors, indices, strict=True):
            if index[book] == code:
                others = [n for n in range(3) if n != book and (joint or n < book)]
                targets.append(vector - sum(rounded[n, index[n]] for n in others))
        assert float(books.uses[book, code]) == len(targets)
        mean = torch.stack(targets).mean(0).float()
        torch.testing.assert_close(books.codes[book, code], mean, rtol=1e-3, atol=1e-4)


def test_code_words_that_are_hardly_used_are_replaced_by_what_was_seen() -> None:
    books = Books(1, 4, 3, joint=False)
    books.codes.copy_(torch.tensor([[[0.0] * 3, [9.0] * 3, [99.0] * 3, [999.0] * 3]]))
    books.uses.copy_(torch.tensor([[5.0, 5.0, 0.01, 0.01]]))
    books.sums.copy_(books.codes * books.uses[:, :, None])
    vectors = noise(20, 3).float()
    books.observe(vectors, torch.zeros(20, 1, dtype=torch.int64))
    books.step(0.99)
    assert books.figures(0.1)[0][0] == 0.5
    books.replace(0.1, seed=3)
    for code in (2, 3):
        assert any(torch.equal(books.codes[0, code], vector) for vector in vectors)
        assert float(books.uses[0, code]) == pytest.approx(0.1)
    held = books.codes.clone()
    books.uses.fill_(0)
    books.replace(0.1, seed=4)
    assert torch.equal(books.codes, held)


def test_figures_of_use() -> None:
    books = Books(2, 4, 3, joint=False)
    books.uses.copy_(torch.tensor([[1.0, 1.0, 1.0, 1.0], [6.0, 2.0, 0.0, 0.0]]))
    usages, perplexities = zip(*books.figures(0.5), strict=True)
    assert usages == (1, 0.5)
    uneven = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert perplexities == pytest.approx((4, uneven))


def test_training_moves_the_codebooks_until_they_are_frozen() -> None:
    made = started(small())
    network = network_of(made)
    network.eval()
    made.reduce(pages()[0])
    assert made.after_step().keys() == {"usage_1", "perplexity_1", "usage_2", "perplexity_2"}
    before = network.books[0].codes.clone()
    network.train()
    other = VisionTokens(pages()[0].features + 1, GRID)
    made.reduce(other)
    assert torch.equal(network.books[0].codes, before)
    figures = made.after_step()
    assert not torch.equal(network.books[0].codes, before)
    assert 0 < figures["usage_1"] <= 1
    assert 1 <= figures["perplexity_1"] <= 8
    made.freeze(pages(4))
    held = {name: value.clone() for name, value in network.state_dict().items()}
    made.reduce(other)
    made.after_step()
    assert all(torch.equal(held[name], value) for name, value in network.state_dict().items())
    assert bool(held["frozen"])


def test_before_the_start_training_goes_without_codes() -> None:
    made, page = TokenVq(small(merge=MergeSettings())), pages()[0]
    network = network_of(made).train()
    assert made.after_step() == {}
    found = made.reduce(page)
    assert found.loss is None
    torch.testing.assert_close(found.features, Merge().reduce(page).features)
    assert network.training
    network.eval()
    assert len(made.reduce(page).features.unique(dim=0)) <= 12
    with pytest.raises(ValueError, match="freeze: there are no codebooks before start"):
        made.freeze()
    with pytest.raises(ValueError, match="start: got no pages"):
        made.start([])
    with pytest.raises(ValueError, match="start: got 12 vectors, allowed: 64 or more"):
        TokenVq(VqSettings(merge=MergeSettings())).start(pages(1))


def test_gradients_reach_the_merge_as_if_there_were_no_codes() -> None:
    """Straight through: those of the merged tokens, and the commitment's own."""
    made, page = started(small(merge=MergeSettings(), commitment=0.5)), pages()[3]
    network = network_of(made).train()
    assert network.merging is not None
    found = made.reduce(page)
    assert found.loss is not None
    (found.features.sin().sum() + found.loss).backward()
    (parameter,) = network.merging.parameters()
    got = parameter.grad
    parameter.grad = None
    plain = made._merged(network, page).features
    value = found.features.detach()
    surrogate = (plain * value.cos()).sum() + 0.5 * (plain - value).square().mean()
    surrogate.backward()
    torch.testing.assert_close(got, parameter.grad)


def test_features_of_inference_mode_can_be_learned_from() -> None:
    for settings in (small(), small(merge=MergeSettings())):
        made = started(settings)
        network_of(made).train()
        with torch.inference_mode():
            page = VisionTokens(pages()[0].features + 1, GRID)
        found = made.reduce(page)
        assert found.loss is not None
        if settings.merge.size > 1:
            (found.features.sum() + found.loss).backward()


# Pages


@pytest.mark.parametrize("kind", ["plain", "residual", "additive"])
@pytest.mark.parametrize("domain", ["token", "dct"])
@pytest.mark.parametrize("begun", [True, False])
def test_compress_is_reduce_in_evaluation_mode(kind: str, domain: str, begun: bool) -> None:
    for merge in (MergeSettings(columns=1), MergeSettings(rows=2)):
        given = small(kind=kind, domain=domain, merge=merge, edge_low=1.5, edge_mid=3.0)
        made = started(given, 16) if begun else TokenVq(given)
        page = replace(pages()[1], deepstack=(noise(24, CHANNELS).float(),))
        found = made.compress(page)
        network = network_of(made).eval()
        value = made.reduce(page)
        assert torch.equal(value.features, found.features)
        assert torch.equal(value.kept, found.kept)
        assert network.begun == begun
        expected = Merge(merge).compress(page) if merge.size > 1 else page
        torch.testing.assert_close(found.deepstack[0], expected.deepstack[0])
        assert found.components.keys() == {"header", "indices", "codebook"}
        assert found.stored_bytes == sum(found.components.values())
        if begun:
            assert found.components["codebook"] == math.ceil(len(network.codes().data) / 100)
        half = made.compress(replace(page, features=page.features.bfloat16()))
        assert half.features.dtype is torch.bfloat16
        ratio = (
            24
            * CHANNELS
            * 32
            / sum(
                len(band) * book.shape[0] * math.log2(book.shape[1])
                for band, book in zip(
                    network.codes().bands((4, 6) if merge.size == 1 else (2, 3)),
                    network.codes().books,
                    strict=True,
                )
            )
        )
        if begun:
            assert found.nominal_ratio == pytest.approx(ratio)


@pytest.mark.parametrize("center", [True, False])
def test_tokens_are_sums_of_code_words_by_plain_arithmetic(center: bool) -> None:
    made, page = started(small(kind="additive", center=center)), pages()[2]
    found, network = made.compress(page), network_of(made)
    books = network.books[0].codes.half().double().numpy()
    mean = np.zeros((4, 6, CHANNELS))
    if center:
        features = np.stack([p.features.double().view(4, 6, -1).numpy() for p in pages()])
        rows, columns, whole = (features.mean(axis=a) for a in ((0, 2), (0, 1), (0, 1, 2)))
        np.testing.assert_allclose(network.center_rows, rows, atol=1e-6)
        np.testing.assert_allclose(network.center_columns, columns - whole, atol=1e-6)
        mean = rows.astype("f2")[:, None] + (columns - whole).astype("f2").astype("f8")[None]
    left = page.features.double().numpy().reshape(4, 6, -1) - mean
    for token, (i, j) in enumerate(itertools.product(range(4), range(6))):
        distances = ((left[i, j] - books[0][:, None] - books[1][None]) ** 2).sum(-1)
        one, other = np.unravel_index(distances.argmin(), distances.shape)
        expected = books[0, one] + books[1, other] + mean[i, j]
        np.testing.assert_allclose(found.features[token], expected, atol=2e-3)


def test_bands_of_the_dct_have_their_own_codebooks() -> None:
    """Against scipy's DCT: the low band of two books, the middle one of one, the high one zero."""
    given = small(domain="dct", edge_low=1.5, edge_mid=3.0, center=False)
    made, page = started(given, 40), pages()[5]
    found, network = made.compress(page), network_of(made)
    spectrum = scipy.fft.dctn(page.features.double().view(4, 6, -1), axes=(0, 1), norm="ortho")
    coded = np.zeros_like(spectrum)
    for u, v in itertools.product(range(4), range(6)):
        band = int(np.searchsorted([1.5, 3.0], math.hypot(u, v), side="right"))
        books = network.books[band].codes.half().double()
        assert len(books) == (2, 1, 0)[band]
        if band < 2:
            vector = torch.from_numpy(spectrum[u, v])[None]
            coded[u, v] = summed(books, assigned(vector, books, 8))[0]
    expected = scipy.fft.idctn(coded, axes=(0, 1), norm="ortho").reshape(24, -1)
    np.testing.assert_allclose(found.features, expected, atol=1e-4)
    chosen = TokenVq(replace(given, band_books=(0, 3, 1)))
    assert [len(band.codes) for band in network_of(chosen).books] == [0, 3, 1]


def test_mean_tokens_are_for_one_grid_or_for_none() -> None:
    made = started(small())
    assert made.grid == GRID
    with pytest.raises(UserError, match=r"a page of \(6, 4\) tokens, .* for \(4, 6\)"):
        made.compress(pages(1, (6, 4))[0])
    mixed = TokenVq(small())
    both = [*pages(6), *pages(6, (6, 4))]
    mixed.start(both)
    assert mixed.grid is None
    network = network_of(mixed)
    whole = torch.cat([page.features for page in both]).mean(0)
    torch.testing.assert_close(network.center_rows[0], whole)
    for page in (both[0], both[-1], pages(1, (3, 3))[0]):
        assert bool(torch.isfinite(mixed.compress(page).features).all())
    merged = started(small(merge=MergeSettings()))
    assert merged.grid == GRID
    assert network_of(merged).center_columns.shape == (3, CHANNELS)


def test_a_shared_codebook_brings_what_it_was_made_of_back() -> None:
    """Two-part tokens on a background by row and column, through additive books."""
    made = TokenVq(VqSettings(kind="additive", codes=16))
    made.start(pages(40))
    for page in pages(44)[40:]:
        error = (made.compress(page).features - page.features).square().mean()
        assert float(error) < 0.03 < 0.01 * float(page.features.var())


def test_pages_with_books_of_their_own_that_are_small_or_flat() -> None:
    for grid in ((1, 1), (1, 2), (5, 5)):
        flat = VisionTokens(torch.ones(grid[0] * grid[1], CHANNELS), grid)
        for kind in ("plain", "residual", "additive"):
            found = TokenVq(VqSettings(kind=kind)).compress(flat)
            torch.testing.assert_close(found.features, flat.features)
    made = TokenVq(VqSettings(domain="dct")).compress(VisionTokens(torch.ones(1, 3), (1, 1)))
    torch.testing.assert_close(made.features, torch.ones(1, 3))


# Settings


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "product"}, "kind: got 'product', allowed: plain, residual, additive"),
        ({"domain": "page"}, "domain: got 'page', allowed: token, dct"),
        ({"books": 17}, "books: got 17, allowed: 1 to 16, or null"),
        ({"kind": "plain", "books": 2}, "books: got 2, allowed: 1 (or null) with kind=plain"),
        ({"codes": 1}, "codes: got 1, allowed: 2 to 65536"),
        ({"codes": 65537}, "codes: got 65537, allowed: 2 to 65536"),
        ({"kind": "additive", "codes": 4096}, "codes: got 4096, allowed: at most 4096 in all"),
        ({"band_books": (1, 1, 1)}, "band_books: got [1, 1, 1], allowed: null unless domain=dct"),
        ({"domain": "dct", "band_books": (0, 0, 0)}, "band_books: got [0, 0, 0], allowed: three"),
        ({"domain": "dct", "band_books": (1, 1)}, "band_books: got [1, 1], allowed: three"),
        ({"edge_low": 9.0}, "edge_mid: got (9.0, 8.0), allowed: 0 <= edge_low <= edge_mid"),
        ({"beam": 0}, "beam: got 0, allowed: 1 to 64"),
        ({"commitment": -0.1}, "commitment: got -0.1, allowed: 0 or more"),
        ({"decay": 1.0}, "decay: got 1.0, allowed: 0 to below 1"),
        ({"expire": -1.0}, "expire: got -1.0, allowed: 0 or more"),
        ({"merge": MergeSettings(rows=5)}, "rows: got 5, allowed: 1 to 4"),
        ({"merge": MergeSettings(high=1)}, "merge.high: got 1, allowed: null unless form=dct"),
    ],
)
def test_settings_outside_their_ranges(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenVq(replace(VqSettings(), **changed))  # type: ignore[arg-type]
    (fault,) = caught.value.faults
    assert fault.startswith(message)


def test_faults_of_the_configuration_name_their_fields() -> None:
    overrides = ("columns=2", "merge.form=attention", "kind=plain", "books=3", "beam=65")
    with pytest.raises(ConfigError) as caught:
        compose(("compressor=token_vq", *(f"compressor.{each}" for each in overrides)))
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "compressor.merge.start",
        "compressor.books",
        "compressor.beam",
    ]
    wide = compose(
        ("compressor=token_vq", "compressor.band_books=[3,1,0]", "compressor.domain=dct")
    )
    built = wide.compressor.build(1.0, wide.profile)
    assert isinstance(built, TokenVq)
    assert built.settings["band_books"] == [3, 1, 0]


def test_codes_split_and_restore_are_inverses() -> None:
    """A code word for every vector: what comes back is what went in, to float16."""
    features = noise(24, CHANNELS)
    for edges in (None, (1.5, 3.0)):
        center = (noise(4, CHANNELS).half(), noise(6, CHANNELS, seed=1).half())
        empty = Codes((1, 1), edges, (torch.zeros(0, 1, CHANNELS),) * (3 if edges else 1), center)
        books = tuple(part[None].half() for part in empty.split(features, GRID))
        codes = replace(empty, books=books)
        indices = codes.assign(codes.split(features, GRID), 1, improve=False)
        torch.testing.assert_close(codes.restore(indices, GRID), features, rtol=1e-2, atol=1e-2)
