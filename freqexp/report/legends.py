"""What the columns of the report mean, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PLACE, CER, LAYERS, QUESTION, AS_TEXT, PROMPT = (
    "right place",
    "CER %",
    "layer tokens",
    "question",
    "as text",
    "prompt tokens",
)
"""Heads of the columns that are explained where they are shown."""

LEGEND = (
    "Means per sample over n scored samples. chance: the score of answering with another turn.",
    "prefix miss: share of answers without the required prefix (they score 0).",
    "delta: difference to the uncompressed run on the same samples.",
    "[95 %]: Bayesian bootstrap (10,000) that leaves room for what was not seen.",
    "p: paired permutation test, Holm-corrected over all comparisons of this report.",
    "non-inferior: the whole interval lies above minus the margin.",
    "lost / gained: samples that fell below / rose to a score of 0.5.",
    "n non-inferior, n loss: samples (power 80 %) that would call no difference non-inferior, and",
    "that would see a loss of the margin; n/a where these samples have answered.",
    "stored: bytes that were decoded again; for the baseline its pages without loss.",
    "ms: medians of compress + encode + prefill + decode; an encoding made by another run counts.",
    "Pareto: on the Pareto set by s stored bytes, t decoder tokens (mean over layers), k KV cache,",
    "m milliseconds.",
)
"""Of every report."""

_PARTS = (
    "right place: replies that begin as the wanted one (in brackets: how many other turns do).",
    "copied: score of the reply cut at the wanted length. derailed: went on without an end.",
    "other turn: replies that copy another turn (in brackets: one of the same request).",
)
_CER = ("CER: characters a line reader misread; it measures legibility, without a language model.",)
_TEXT = (
    "as text: tokens that the conversation takes as text (for each token that stood for it in the",
    "decoder's sequence, vision or text).",
)
_PROMPT = (
    "prompt tokens: as the server counts them, images included (Pareto: p). cost: of one sample,",
    "by the run's prices.",
)
_LAYERS = ("layer tokens: text and vision tokens that enter the decoder -> mean over its layers.",)
_CACHE = (
    "question: whether the KV cache was compressed after the question was read, or before.",
    "later score: from the second answer token on; the first sees the whole cache where the",
    "question was seen. KV cache: bytes held after the prefill (% of what the model made).",
    "KV ms: medians of compressing the cache. ms a token: of each answer token after the first.",
    "What the KV cache held: components of its bytes; at the end: after the answer; reading: the",
    "most that reading one layer takes beside; shared: tensors that serve all requests.",
)
MORE: Mapping[str, Sequence[str]] = {
    AS_TEXT: _TEXT,
    PLACE: _PARTS,
    CER: _CER,
    PROMPT: _PROMPT,
    LAYERS: _LAYERS,
    QUESTION: _CACHE,
}
"""Sentences of a column, by its head."""
