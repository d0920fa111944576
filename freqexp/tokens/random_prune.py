"""Random pruning of vision tokens: the control that any method of choosing tokens must beat."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from freqexp.coding.share import check_keep_ratio
from freqexp.errors import ConfigError, fault
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.coefficients import raw_bytes
from freqexp.tokens.kept import budget_of, check_tokens, pruned_tokens


class RandomPrune(TokenCompressor):
    """Keep K = floor(keep_ratio N + 0.5) tokens (at least 1) drawn without replacement.

    The draw is a permutation of the N places whose first K stay, so sets kept at growing keep
    ratios are nested. It depends on `seed` and on the features themselves: pages differ in what
    they lose, and the same page always loses the same. Features of the kept tokens are the
    input's, bit for bit.
    """

    def __init__(self, keep_ratio: float = 0.5, seed: int = 0) -> None:
        """Check and keep the settings.

        keep_ratio: share of the tokens kept, in (0, 1]. seed: another draw, 0 or more.

        Raises:
            ConfigError: a value is outside what is allowed; names all such values.
        """
        faults = check_keep_ratio(keep_ratio)
        if seed < 0:
            faults.append(fault("seed", seed, "0 or more"))
        if faults:
            raise ConfigError(faults)
        self.simulated = keep_ratio == 1
        self._keep_ratio = keep_ratio
        self._seed = seed

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [K, channels].

        `stored_bytes` is the length of a bitstream of the kept tokens and their places,
        `nominal_ratio` is N / K.

        Raises:
            ValueError: see `check_tokens` and `budget_of`.
        """
        check_tokens(tokens)
        features = tokens.features
        plain = raw_bytes(features.detach().cpu().contiguous()).numpy()
        digest = hashlib.sha256(plain.tobytes()).digest()
        entropy = [self._seed, *np.frombuffer(digest, dtype="<u4").tolist()]
        order = np.random.Generator(np.random.PCG64(entropy)).permutation(len(features))
        chosen = np.sort(order[: budget_of(tokens, self._keep_ratio)])
        return pruned_tokens(tokens, torch.from_numpy(chosen).to(features.device))
