from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import fft

from freqexp.coding.long_dct import long_dct, long_idct


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 97, 1000, 4096])
def test_long_dct_is_scipys_and_comes_back(n: int) -> None:
    x = torch.from_numpy(np.random.default_rng(n).normal(size=(3, 2, n)))
    before, coefficients = x.clone(), long_dct(x)
    expected = fft.dct(x.numpy(), norm="ortho")
    np.testing.assert_allclose(coefficients.numpy(), expected, rtol=0, atol=1e-13)
    held = coefficients.clone()
    torch.testing.assert_close(long_idct(coefficients), x, rtol=0, atol=1e-13)
    assert torch.equal(x, before)
    assert torch.equal(coefficients, held)
