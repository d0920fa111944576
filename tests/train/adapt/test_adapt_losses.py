"""What a pass is to learn, against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from freqexp.nouns.teaching import Taught
from freqexp.train.adapt.config import AdaptConfig
from freqexp.train.adapt.losses import answers, departure, divergence, exact_share, weighted

LAYERS, CHANNELS, WHOLE = 3, 5, 7


def taught(places: list[list[int]], vision: list[list[bool]], seed: int) -> Taught:
    """A pass with random states and three answers of 2, 1 and 3 tokens."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(places), len(places[0]), CHANNELS)
    return Taught(
        logits=torch.randn(6, 4, generator=generator),
        labels=torch.tensor([0, 1, 2, 3, 0, 1]),
        firsts=torch.tensor([0, 2, 3]),
        places=torch.tensor(places),
        vision=torch.tensor(vision),
        states=tuple(torch.randn(shape, generator=generator) for _ in range(LAYERS)),
    )


@pytest.fixture
def teacher() -> Taught:
    """Two sequences with every token, four of them of pages."""
    row = [False, True, True, True, True, False, False]
    return taught([list(range(WHOLE))] * 2, [row, row], 0)


@pytest.fixture
def student() -> Taught:
    """The first lost two tokens of its pages, the second three."""
    places = [[0, 2, 4, 5, 6], [0, 3, 5, 6, -1]]
    vision = [[False, True, True, False, False], [False, True, False, False, False]]
    return taught(places, vision, 1)


@pytest.mark.parametrize("intact", [None, [True, True, True], [False, True, False], [False] * 3])
def test_departure_is_the_distance_at_the_same_places(
    student: Taught, teacher: Taught, intact: list[bool] | None
) -> None:
    layers = []
    tokens = student.vision.nonzero().tolist()
    left_out = [place for place, same in zip(tokens, intact or [True] * 3, strict=True) if not same]
    for own, other in zip(student.states, teacher.states, strict=True):
        distance = power = 0.0
        for row in range(2):
            for column, place in enumerate(student.places[row].tolist()):
                if place < 0 or [row, column] in left_out:
                    continue
                for channel in range(CHANNELS):
                    wanted = float(other[row, place, channel])
                    distance += (float(own[row, column, channel]) - wanted) ** 2
                    power += wanted**2
        layers.append(distance / power)
    found = departure(student, teacher, None if intact is None else torch.tensor(intact))
    assert float(found) == pytest.approx(sum(layers) / LAYERS, rel=1e-5)
    assert float(departure(teacher, teacher, None)) == 0


def test_departure_has_gradients_where_it_counts(student: Taught, teacher: Taught) -> None:
    states = tuple(state.clone().requires_grad_() for state in student.states)
    own = Taught(
        student.logits, student.labels, student.firsts, student.places, student.vision, states
    )
    departure(own, teacher, torch.zeros(3, dtype=torch.bool)).backward()
    counted = (student.places >= 0) & ~student.vision
    for state in states:
        assert state.grad is not None
        assert torch.equal(state.grad.abs().sum(-1) > 0, counted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_divergence_is_the_mean_over_tokens(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    one = (3 * torch.randn(6, 5, generator=generator)).to(dtype)
    other = (3 * torch.randn(6, 5, generator=generator)).to(dtype)
    total = 0.0
    for row in range(6):
        q, p = (probabilities(logits[row]) for logits in (one, other))
        total += sum(b * (math.log(b) - math.log(a)) for a, b in zip(q, p, strict=True))
    found = divergence(one, other)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(total / 6, rel=1e-4)
    assert float(divergence(one, one)) == pytest.approx(0, abs=1e-6)
    # Where the teacher is sure and the student is not, rather than the other way round.
    sure, even = torch.tensor([[9.0, 0.0]]), torch.zeros(1, 2)
    assert float(divergence(even, sure)) == pytest.approx(math.log(2), abs=0.01)
    assert float(divergence(sure, even)) > 3


def probabilities(logits: Tensor) -> list[float]:
    values = [math.exp(value) for value in logits.tolist()]
    return [value / sum(values) for value in values]


def test_an_answer_is_exact_when_each_of_its_tokens_is() -> None:
    generator = torch.Generator().manual_seed(5)
    for firsts in ([0], [0, 2, 3], [0, 1, 2, 3, 4, 5], [0, 5]):
        for _ in range(20):
            hit = torch.rand(6, generator=generator) < 0.7
            borders = [*firsts, 6]
            whole = [
                all(bool(hit[at]) for at in range(borders[number], borders[number + 1]))
                for number in range(len(firsts))
            ]
            found = exact_share(hit, torch.tensor(firsts))
            assert found == pytest.approx(sum(whole) / len(whole))


def test_answers_are_counted_token_by_token(student: Taught) -> None:
    found = answers(student)
    entropy = right = 0.0
    for logits, label in zip(student.logits, student.labels.tolist(), strict=True):
        entropy -= math.log(probabilities(logits)[label])
        right += max(range(4), key=lambda code: float(logits[code])) == label
    assert found["answer"] == pytest.approx(entropy / 6, rel=1e-5)
    assert found["right"] == pytest.approx(right / 6)
    hit = student.logits.argmax(-1) == student.labels
    assert found["exact"] == exact_share(hit, student.firsts)


def test_terms_are_weighed_by_the_settings_of_their_names() -> None:
    config = AdaptConfig(answer=2.0, distil=0.5, states=3.0)
    terms = {"answer": torch.tensor(1.0), "states": torch.tensor(10.0)}
    assert float(weighted(config, terms)) == 32
    terms["distil"] = torch.tensor(4.0)
    assert float(weighted(config, terms)) == 34
