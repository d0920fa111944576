"""Orthonormal DCT-II of long sequences, by one FFT of the same length (Makhoul 1980)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def long_dct(x: Tensor) -> Tensor:
    """Orthonormal DCT-II of real `x` [..., n] over its last dimension, n of any size.

    What `transforms.dct_matrix(n) @ x` is, in O(n log n) time and O(n) memory a row.
    """
    n = x.shape[-1]
    turned = torch.fft.rfft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1))
    turned *= _turn(n, turned) * math.sqrt(2 / n)
    turned[..., 0] *= math.sqrt(0.5)
    # The upper half are the imaginary parts of the lower one, from its end.
    return torch.cat([turned.real, -turned.imag[..., 1 : (n + 1) // 2].flip(-1)], dim=-1)


def long_idct(coefficients: Tensor) -> Tensor:
    """Inverse of `long_dct`."""
    n = coefficients.shape[-1]
    half = n // 2 + 1
    imaginary = torch.zeros_like(coefficients[..., :half])
    imaginary[..., 1:] = -coefficients[..., n - half + 1 :].flip(-1)
    turned = torch.complex(coefficients[..., :half], imaginary)
    turned[..., 0] *= math.sqrt(2)
    turned *= _turn(n, turned).conj() * math.sqrt(n / 2)
    mixed = torch.fft.irfft(turned, n=n)
    x = torch.empty_like(coefficients)
    x[..., ::2] = mixed[..., : (n + 1) // 2]
    x[..., 1::2] = mixed[..., (n + 1) // 2 :].flip(-1)
    return x


def _turn(n: int, like: Tensor) -> Tensor:
    """exp(-i pi k / 2n) for k from 0 to n / 2."""
    angle = torch.arange(n // 2 + 1, dtype=torch.float64) * (-math.pi / (2 * n))
    return torch.polar(torch.ones_like(angle), angle).to(like)
