"""Closed choices of a configuration; the member names are what a person types."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freqexp.nouns.vision import Signal


class Family(Enum):
    """Model families a reader exists for."""

    glm4v = "glm4v"
    qwen2_vl = "qwen2_vl"
    qwen2_5_vl = "qwen2_5_vl"
    qwen3_vl = "qwen3_vl"
    llava_onevision = "llava_onevision"
    glm4v_remote = "glm4v_remote"
    ppocr = "ppocr"
    api = "api"
    outside = "outside"


_TOWERS: tuple[Signal, ...] = ("pixels", "attention", "keys", "question")
SIGNALS: Mapping[Family, tuple[Signal, ...]] = {
    Family.glm4v: _TOWERS,
    Family.qwen2_vl: _TOWERS,
    Family.qwen2_5_vl: _TOWERS,
    Family.qwen3_vl: _TOWERS,
    Family.llava_onevision: _TOWERS,
    Family.glm4v_remote: ("pixels", "question"),
    Family.ppocr: (),
    Family.api: (),
    Family.outside: (),
}
"""What the reader of a family can give a compressor beside vision tokens."""

DROPS_BEFORE_ENCODER = frozenset(
    {Family.glm4v, Family.qwen2_vl, Family.qwen2_5_vl, Family.qwen3_vl}
)
"""Families whose encoder takes any subset of a page's tokens."""

PRUNES_IN_DECODER = frozenset(
    {
        Family.glm4v,
        Family.qwen2_vl,
        Family.qwen2_5_vl,
        Family.qwen3_vl,
        Family.llava_onevision,
    }
)
"""Families whose decoder goes on without tokens from any layer but the first on."""


COMPRESSES_CACHE = PRUNES_IN_DECODER | {Family.glm4v_remote}
"""Families whose KV cache can be compressed."""

SHOWS_LAYERS = PRUNES_IN_DECODER
"""Of these, families whose decoder's layers can be looked into: their queries are known, and each
layer may hold another number of tokens.
"""


class Input(Enum):
    """What a model is given of a conversation: pages, or its text."""

    pages = "pages"
    text = "text"


class Dtype(Enum):
    """Number format of weights and activations."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Device(Enum):
    """Where the model runs; auto takes a GPU where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Attention(Enum):
    """Attention implementation, the same one with and without compression."""

    sdpa = "sdpa"
    eager = "eager"
    flash_attention_2 = "flash_attention_2"


class Form(Enum):
    """Form of generated samples: `short` fits the small reader's pages, `long` is MRCR's own."""

    short = "short"
    long = "long"


class Text(Enum):
    """What replies of generated samples say: sentences, or random letters in their place."""

    english = "english"
    random = "random"


class Threshold(Enum):
    """One threshold for the whole page (the paper's) or one for each block."""

    image = "image"
    block = "block"


class Fit(Enum):
    """How page sides become multiples of the block: edge replication or the paper's resize."""

    pad = "pad"
    resize = "resize"


class Picture(Enum):
    """Files of pictures that programs of the user's read and write: PNG, PGM or PPM, PBM."""

    png = "png"
    pnm = "pnm"
    pbm = "pbm"


class Energy(Enum):
    """Norm in which a token's departure from its grid's mean is measured."""

    l2 = "l2"
    l1 = "l1"


class Metric(Enum):
    """What of two vision tokens is compared: the encoder's keys, or the features."""

    keys = "keys"
    features = "features"


class KeptNorm(Enum):
    """Which vision tokens stay, by their norm."""

    largest = "largest"
    smallest = "smallest"


class Where(Enum):
    """Where vision tokens leave: before the decoder, or before the vision encoder already."""

    decoder = "decoder"
    encoder = "encoder"


class StripCoder(Enum):
    """What compresses the records of `strips`."""

    ppmd = "ppmd"
    xz = "xz"


class AvifTune(Enum):
    """What libaom optimises: what it does by default, or the squared error."""

    default = "default"
    psnr = "psnr"


class MergeForm(Enum):
    """What makes one vision token of a group, see `freqexp.tokens.merge.Merge`."""

    linear = "linear"
    dct = "dct"
    attention = "attention"


class MergeStart(Enum):
    """What a learned merge begins as: the group's mean, its first token and the others rotated into
    it, the same with a rotation into directions that the decoder leaves alone, or its mean and the
    rotated detail.
    """

    pool = "pool"
    first = "first"
    quiet = "quiet"
    detail = "detail"


class MergeWhich(Enum):
    """Which groups a learned merge makes one token of: all, or no more than have to be."""

    all = "all"
    needed = "needed"


class Books(Enum):
    """How code words stand for a vision token, see `freqexp.tokens.token_vq.TokenVq`."""

    plain = "plain"
    residual = "residual"
    additive = "additive"


class Domain(Enum):
    """What is quantised of vision tokens: they themselves, or the DCT over their grid."""

    token = "token"
    dct = "dct"


class Question(Enum):
    """Whether the KV cache is compressed before the question is read, or after it."""

    unseen = "unseen"
    seen = "seen"


class Scope(Enum):
    """Which tokens of the KV cache a method may act on: all, or those of pages."""

    all = "all"
    vision = "vision"


class ValueGroups(Enum):
    """What of the cache's values shares one quantiser step: channels of a token, or tokens of a
    channel.
    """

    token = "token"
    channel = "channel"


class Pooling(Enum):
    """What of a token's neighbours its score becomes: their mean, or the largest."""

    avg = "avg"
    max = "max"


class LayerShares(Enum):
    """How the tokens that stay are shared out among layers: all alike, or by the energy of high
    frequencies.
    """

    flat = "flat"
    energy = "energy"


class BasisOf(Enum):
    """Whose basis keys and values of the cache are expressed in: each request's, or one for all."""

    request = "request"
    calibrated = "calibrated"


class Scale(Enum):
    """What shares one quantiser scale: each channel, or the whole tensor."""

    channel = "channel"
    tensor = "tensor"


class Layout(Enum):
    """How characters stand in a line: each by itself, or shaped by libraqm."""

    basic = "basic"
    raqm = "raqm"


class Missing(Enum):
    """What becomes of a sample with characters that pages can't show as they should look."""

    mark = "mark"
    error = "error"
