"""Bases made before a run: what is in their file, what a request then holds, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from freqexp.composing.compose import compose
from freqexp.config.identity import run_id
from freqexp.errors import ConfigError, UserError
from freqexp.kv.basis_file import Bases, load, sizes, write
from freqexp.kv.calibrate import Calibration
from freqexp.kv.low_rank import LowRank
from freqexp.nouns.cache import LayerCache
from freqexp.readers.bundled import folder
from freqexp.readers.held import shared_storages, storages

LAYERS, HEADS, CHANNELS = 3, 2, 12
LENGTHS = (40, 65, 52)

Array = npt.NDArray[np.float64]


def layer(number: int, tokens: int, dtype: torch.dtype = torch.float64) -> LayerCache:
    """Channels of falling variance in a frame and around a mean of the layer's own."""
    frames, rng = np.random.default_rng(number), np.random.default_rng((number, tokens))
    frame = np.linalg.qr(frames.normal(size=(2, HEADS, CHANNELS, CHANNELS)))[0]
    noise = rng.normal(size=(2, HEADS, tokens, CHANNELS)) * 0.7 ** np.arange(CHANNELS)
    keys, values = torch.from_numpy(noise @ frame + frames.normal(size=CHANNELS)).to(dtype)
    vision = torch.zeros(tokens, dtype=torch.bool)
    vision[5:35] = True
    return LayerCache(keys, values, vision, number=number)


def requests() -> list[LayerCache]:
    return [layer(number, tokens) for tokens in LENGTHS for number in range(LAYERS)]


def calibrate(layers: Iterable[LayerCache], model: str = "", scope: str = "all") -> Bases:
    found = Calibration(scope)
    for each in layers:
        found.add(each)
    return found.bases(model)


def components(tokens: Sequence[Tensor]) -> tuple[Array, Array]:
    """Right singular vectors of all tokens [tokens, channels] around their mean, and the mean."""
    matrix = np.concatenate([part.numpy() for part in tokens])
    mean = matrix.mean(axis=0)
    return np.linalg.svd(matrix - mean)[2], mean


@pytest.fixture(scope="module")
def bases() -> Bases:
    return calibrate(requests(), "some model")


@pytest.fixture
def path(bases: Bases, tmp_path: Path) -> str:
    write(bases, tmp_path / "made" / "bases.safetensors")
    return str(tmp_path / "made" / "bases.safetensors")


@pytest.mark.parametrize("scope", ["all", "vision"])
def test_bases_are_the_singular_vectors_of_all_tokens(scope: str) -> None:
    found = calibrate(requests(), scope=scope)
    assert len(found.layers) == LAYERS
    assert found.requests == len(LENGTHS)
    places = slice(5, 35) if scope == "vision" else slice(None)
    for number, sides in enumerate(found.layers):
        for basis, name in zip(sides, ("keys", "values"), strict=True):
            for head in range(HEADS):
                tokens = [getattr(layer(number, n), name)[head, places] for n in LENGTHS]
                vectors, mean = components(tokens)
                turned = (basis.directions[head].numpy() * vectors).sum(axis=1)
                np.testing.assert_allclose(abs(turned), 1, atol=1e-9)
                np.testing.assert_allclose(basis.mean[head].numpy(), mean, atol=1e-12)


def test_the_order_of_requests_does_not_matter(bases: Bases) -> None:
    other = calibrate(reversed(requests()))
    for one, two in zip(bases.layers, other.layers, strict=True):
        torch.testing.assert_close(one[1].directions, two[1].directions, rtol=0, atol=1e-9)


def test_a_layer_is_let_go_before_the_next() -> None:
    def stream() -> Iterator[LayerCache]:
        given = layer(0, 40)
        yield given
        given.keys.zero_()
        yield layer(0, 65)

    both = calibrate([layer(0, 40), layer(0, 65)])
    assert torch.equal(calibrate(stream()).layers[0][0].mean, both.layers[0][0].mean)


@pytest.mark.parametrize("numbers", [[], [1], [0, 1, 0], [0, 2]])
def test_layers_that_are_missing(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="allowed: each from 0 on, equally often"):
        calibrate(layer(number, 40) for number in numbers)


def test_a_file_gives_back_what_was_saved(bases: Bases, path: str) -> None:
    assert sizes(path) == {"layers": 3, "heads": 2, "channels": 12, "requests": 3}
    found = load(path)
    assert (found.model, found.requests) == ("some model", 3)
    for one, other in zip(bases.layers, found.layers, strict=True):
        for basis, read in zip(one, other, strict=True):
            assert torch.equal(basis.directions.float(), read.directions)
            assert torch.equal(basis.mean.float(), read.mean)


@pytest.mark.parametrize(("keep_ratio", "rank"), [(0.01, 1), (0.25, 3), (0.49, 5), (0.99, 11)])
def test_a_request_is_the_projection_onto_the_first_directions(
    path: str, keep_ratio: float, rank: int
) -> None:
    given = layer(1, 80)
    stored = LowRank(keep_ratio, basis_path=path).compress(given)
    for number, name in enumerate(("keys", "values")):
        basis, numbers = load(path).layers[1][number], getattr(given, name)
        for head in range(HEADS):
            first = basis.directions[head, :rank].double().numpy()
            mean = basis.mean[head].double().numpy()
            expected = mean + (numbers[head].numpy() - mean) @ first.T @ first
            np.testing.assert_allclose(stored.read()[number][head].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_request_holds_coefficients_alone_and_all_share_one_basis(
    path: str, dtype: torch.dtype
) -> None:
    method = LowRank(0.5, basis_path=path)
    stored = [method.compress(layer(2, tokens, dtype)) for tokens in (80, 33)]
    stored[0].append(*(torch.ones(2, HEADS, 4, CHANNELS, dtype=dtype)))
    item, rank = dtype.itemsize, 6
    held = [sum(storages(each).values()) for each in stored]
    assert held == [
        2 * HEADS * (80 * rank + 4 * CHANNELS) * item,
        2 * HEADS * 33 * rank * item,
    ]
    for each, size in zip(stored, held, strict=True):
        counted = each.tensors()
        assert sum(sum(storages(parts).values()) for parts in counted.values()) == size
        assert not counted["basis"]
    shared = [shared_storages(each) for each in stored]
    assert shared[0] == shared[1]
    assert sum(shared[0].values()) == 2 * HEADS * (rank + 1) * CHANNELS * item


def test_at_one_everything_stays_as_it_is(path: str) -> None:
    given = layer(0, 40, torch.bfloat16)
    stored = LowRank(1.0, basis_path=path).compress(given)
    assert torch.equal(stored.read()[1], given.values)


def test_few_tokens_need_no_room_for_a_basis(path: str) -> None:
    given = layer(0, 36)
    one = LayerCache(given.keys[:, :1], given.values[:, :1], given.vision[:1])
    assert LowRank(0.01, basis_path=path).compress(one).read()[0].shape == (HEADS, 1, CHANNELS)


def test_bases_of_another_model(path: str) -> None:
    method = LowRank(0.5, basis_path=path)
    these = "these are of 3 layers of 2 heads of 12"
    with pytest.raises(UserError, match=f"whose layer 3 has .*; {these}"):
        method.compress(replace(layer(0, 40), number=3))
    given = layer(0, 40)
    narrow = LayerCache(given.keys[..., :8], given.values[..., :8], given.vision)
    with pytest.raises(UserError, match=f"has 2 heads of 8 and 2 heads of 8 channels; {these}"):
        method.compress(narrow)
    alone = LayerCache(given.keys[:1], given.values[:1], given.vision)
    with pytest.raises(UserError, match=f"has 1 heads of 12 .*; {these}"):
        method.compress(alone)


def damaged(path: str, what: str) -> str:
    """The file without what makes it one of bases."""
    file, tensors = Path(path), load_file(path)
    said = {"bases": json.dumps(dict(sizes(path)))}
    if what == "gone":
        file.unlink()
    elif what == "text":
        file.write_text("bases?")
    elif what == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif what == "another":
        file.write_bytes((folder() / "model.safetensors").read_bytes())
    elif what == "shape":
        tensors["1.values.mean"] = tensors["1.values.mean"][:1].clone()
        save_file(tensors, file, said)
    elif what == "missing":
        del tensors["2.keys.directions"]
        save_file(tensors, file, said)
    return str(file)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("gone", "No such file"),
        ("text", "its header says nothing of bases"),
        ("another", "its header says nothing of bases"),
        ("cut", ""),
        ("shape", r"1.values.mean of \[1, 12\], not \[2, 12\]"),
        ("missing", "2.keys.directions"),
    ],
)
def test_files_that_are_none_of_bases(path: str, what: str, why: str) -> None:
    name = damaged(path, what)
    with pytest.raises(UserError, match=rf"compressor.basis_path: got '{name}', .*\(.*{why}"):
        LowRank(0.5, basis_path=name)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (("compressor.basis=calibrated",), "got None, allowed: a file of bases"),
        (("compressor.basis_path=PATH",), "allowed: null unless basis=calibrated"),
        (
            ("compressor.basis=calibrated", "compressor.basis_path=/nowhere"),
            "allowed: a file that .* made .No such file",
        ),
        (
            ("compressor.basis=calibrated", "compressor.basis_path=PATH"),
            "allowed: bases of 6 decoder layers; these are of 3",
        ),
    ],
)
def test_an_option_names_one_fault(path: str, overrides: tuple[str, ...], fault: str) -> None:
    given = [each.replace("PATH", path) for each in overrides]
    with pytest.raises(ConfigError, match=f"compressor.basis_path: .*{fault}") as caught:
        compose(("compressor=low_rank", *given))
    assert len(caught.value.faults) == 1


def test_bases_count_by_their_content(tmp_path: Path) -> None:
    """Alone and in a combination, wherever the file is."""
    ids = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        given = [replace(layer(seed, 40), number=number) for number in range(6)]
        write(calibrate(given), tmp_path / name)
        settings = ("basis=calibrated", f"basis_path={tmp_path / name}")
        alone = ("compressor=low_rank", *(f"compressor.{each}" for each in settings))
        both = ("compressor=combined", "kv=low_rank", *(f"compressor.kv.{s}" for s in settings))
        ids.append((run_id(compose(alone)), run_id(compose(both))))
    assert ids[0] == ids[1]
    assert ids[0][0] != ids[2][0]
    assert ids[0][1] != ids[2][1]
