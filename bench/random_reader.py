"""A reader of full size with random weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from bench.methods import BITS, EDGES, text_pages
from freqexp.answering.session import Session
from freqexp.composing.compose import compose
from freqexp.nouns.vision import keep_all
from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.readers.weights import Parts
from freqexp.tokens.dct import TokenDct

NINE_B_PAGES, NINE_B_KEEP = (1, 8, 32), (1.0, 0.5, 0.25)
QUESTION = "Prepend abcdefghij to the 2nd (1 indexed) poem about tapirs."
DEPTH = 24
NINE_B_NEW_TOKENS = 32


def vision_encoder(depth: int, device: str, dtype: torch.dtype) -> Any:
    """GLM-4.1V's vision tower with `depth` blocks of random weights."""
    from transformers import Glm4vConfig
    from transformers.models.glm4v.modeling_glm4v import Glm4vVisionModel

    config: Any = Glm4vConfig().vision_config
    config.depth = depth
    config._attn_implementation = "sdpa"
    with torch.device(device):
        encoder: Any = Glm4vVisionModel(config)
    return encoder.to(dtype).eval()


def nine_b() -> Iterator[str]:
    """Prefill, decoding, memory and cache of a GLM-4.1V-9B at several numbers of pages."""
    if not torch.cuda.is_available():
        yield "9b      skipped: needs a CUDA device with about 40 GB"
        return
    yield from reading(random_reader(None, "cuda"), NINE_B_PAGES, NINE_B_KEEP)


def random_reader(config: Any, device: str) -> Glm4vReader:
    """A reader with random bfloat16 weights and the bundled reader's tokenizer; config: of
    transformers, None is GLM-4.1V-9B's.
    """
    from transformers import Glm4vConfig, Glm4vForConditionalGeneration

    tiny = compose().model
    bundled = Session().reader(compose())
    assert isinstance(bundled, Glm4vReader)
    config = Glm4vConfig() if config is None else config
    config.image_token_id = bundled.image_id
    config.text_config.max_position_embeddings = 131_072
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model: Any = Glm4vForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    model.generation_config = bundled.model.generation_config
    processor = bundled.processor
    processor.size = {**processor.size, "longest_edge": 1 << 24}
    parts = Parts(model.eval(), bundled.tokenizer, processor)
    return Glm4vReader(parts, replace(tiny, max_new_tokens=NINE_B_NEW_TOKENS))


def reading(
    reader: Glm4vReader, pages: Sequence[int], keep_ratios: Sequence[float]
) -> Iterator[str]:
    """One row for each number of pages and keep ratio; the first answer of each is not counted."""
    page = text_pages()[0]
    cuda = reader.device.type == "cuda"
    yield (
        f"9b      {'pages':>5} {'keep':>5} {'prompt':>7} {'encode ms':>10} {'prefill ms':>11}"
        f" {'ms a token':>11} {'KV MiB':>9} {'peak GiB':>9}"
    )
    for count in pages:
        encode_ms = taken_ms(lambda n=count: reader.encode([page] * n))  # type: ignore[misc]
        vision = reader.encode([page] * count)
        for keep_ratio in keep_ratios:
            prune = TokenDct(keep_ratio, BITS, EDGES, transform=False, quantize=False)
            kept = [keep_all(v) if keep_ratio == 1 else prune.compress(v) for v in vision]
            reader.answer(QUESTION, kept)
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            answer = reader.answer(QUESTION, kept)
            peak = f"{torch.cuda.max_memory_allocated() / 2**30:9.2f}" if cuda else f"{'-':>9}"
            steps = max(1, (answer.new_tokens or 1) - 1)
            assert answer.kv_cache_bytes is not None
            yield (
                f"9b      {count:>5} {keep_ratio:>5} {answer.decoder_tokens:>7} {encode_ms:>10.1f}"
                f" {answer.prefill_ms:>11.1f} {answer.decode_ms / steps:>11.2f}"
                f" {answer.kv_cache_bytes / 2**20:>9.1f} {peak}"
            )


def taken_ms(call: Callable[[], Any]) -> float:
    """Milliseconds of a call: on a GPU wall time with its kernels, else time on the CPU, which
    other programs on the machine do not lengthen.
    """
    if not torch.cuda.is_available():
        started = time.process_time()
        call()
        return 1000 * (time.process_time() - started)
    torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - started)
