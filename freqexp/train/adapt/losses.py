"""What one pass is to learn: the answers, and to be like the reader that it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from freqexp.nouns.teaching import Taught
from freqexp.train.adapt.config import AdaptConfig
from freqexp.train.adapt.reading import Read
from freqexp.train.adapt.student import Student


@dataclass(frozen=True, eq=False)
class Loss:
    """total: what is differentiated. terms: its parts by name, before their weights, and what
    `answers` counts.
    """

    total: Tensor
    terms: Mapping[str, float]


def pass_loss(student: Student, read: Read, compressed: bool) -> Loss:
    """The loss of one pass over lessons that were read, compressed or as they are."""
    config = student.config
    states = config.states > 0
    taught = student.teach(read.short if compressed else read.full, states)
    terms = {"answer": _answer(taught)}
    if config.distil or states:
        teacher = student.teacher(read.full, states)
        if config.distil:
            terms["distil"] = divergence(taught.logits, teacher.logits)
        if states:
            intact = read.intact_in(len(taught.vision)) if compressed else None
            terms["states"] = departure(taught, teacher, intact)
    total = weighted(config, terms)
    if compressed and read.losses:
        terms["codes"] = torch.stack(read.losses).mean()
        total = total + terms["codes"]
    shown = {name: float(term.detach()) for name, term in terms.items()}
    return Loss(total, {**answers(taught), **shown})


def answers(taught: Taught) -> dict[str, float]:
    """answer: cross-entropy in nats a token. right: share of the answers' tokens that came first.
    exact: of the answers, those all of whose tokens did.
    """
    hit = (taught.logits.argmax(-1) == taught.labels).detach()
    return {
        "answer": float(_answer(taught).detach()),
        "right": float(hit.float().mean()),
        "exact": exact_share(hit, taught.firsts),
    }


def _answer(taught: Taught) -> Tensor:
    return functional.cross_entropy(taught.logits.float(), taught.labels)


def weighted(config: AdaptConfig, terms: Mapping[str, Tensor]) -> Tensor:
    """The sum of the terms times their weights of the same names."""
    return torch.stack([getattr(config, name) * term for name, term in terms.items()]).sum()


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) in nats, the mean over answer tokens; logits [tokens, vocabulary]."""
    return functional.kl_div(
        student.float().log_softmax(-1),
        teacher.float().log_softmax(-1),
        log_target=True,
        reduction="batchmean",
    )


def departure(taught: Taught, teacher: Taught, intact: Tensor | None) -> Tensor:
    """Squared distance of the hidden states to the teacher's, over the teacher's power; the mean
    over layers.

    Text tokens are the same in both, in the same order. intact: bool [vision tokens of all
    sequences], those that count, too, at their places, which the teacher has all of; None: all.
    Those that were merged or quantised say something else.
    """
    vision = taught.vision.clone()
    if intact is not None:
        vision[taught.vision] = intact.to(vision.device)
    own, other = (~each.vision & (each.places >= 0) for each in (taught, teacher))
    at = taught.places.clamp_min(0)[..., None]
    found = []
    for mine, theirs in zip(taught.states, teacher.states, strict=True):
        pairs = [(mine[own], theirs[other])]
        same_place = theirs.gather(1, at.expand(-1, -1, theirs.shape[-1]))
        pairs.append((mine[vision], same_place[vision]))
        state, wanted = (torch.cat(parts).float() for parts in zip(*pairs, strict=True))
        found.append((state - wanted).square().mean() / wanted.square().mean())
    return torch.stack(found).mean()


def exact_share(hit: Tensor, firsts: Tensor) -> float:
    """Share of answers all of whose tokens came first: greedy decoding gives them to the letter."""
    ends = torch.cat([firsts[1:], firsts.new_tensor([len(hit)])])
    right = torch.cat([hit.new_zeros(1, dtype=torch.int64), hit.long().cumsum(0)])
    whole = right[ends] - right[firsts] == ends - firsts
    return float(whole.float().mean())
