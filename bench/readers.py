"""What reading takes beside what it could take, in ratios of times measured side by side.

    python -m bench.readers [--repeats 7] [--threads 1] [--blocks 2] [--only sweep,plain,tokens,9b]

sweep: encoding time of a sweep over six keep ratios of a token compressor, over that of one point
(allowed: 1.1). plain: our encode and answer with nothing compressed, over the family's own
`generate` on the same pages and question (allowed: 1.03), bundled reader. tokens: the token
compressor's time over that of GLM-4.1V's vision encoder with random weights for the same pages
(allowed: 0.02); tokens are bfloat16, the encoder is float32 on a CPU, because few have bfloat16
arithmetic and without it the encoder would look slower than it need be. 9b: a GLM-4.1V-9B with
random weights in bfloat16 on a GPU.
Two things that are compared take turns in one process, and the ratio is the median of the pairs.
Times are CPU time of one process on a CPU and wall time on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from bench.methods import BITS, CHANNELS, EDGES
from bench.random_reader import DEPTH, nine_b, taken_ms, vision_encoder
from freqexp.answering.session import Session
from freqexp.benchmarks.samples import load_samples
from freqexp.composing.compose import compose
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import VisionTokens, keep_all
from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.tokens.dct import TokenDct

KEEP_RATIOS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)
SHAPES = ((1, (30, 21)), (8, (12, 12)))


def main() -> None:
    """Print the parts asked for."""
    parser = argparse.ArgumentParser(description="Ratios of reading times.")
    parser.add_argument("--repeats", type=int, default=7, help="measured pairs a row")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--blocks", type=int, default=2, help="encoder blocks timed on a CPU")
    parser.add_argument("--only", default="sweep,plain,tokens,9b", help="parts, by comma")
    arguments = parser.parse_args()
    if min(arguments.repeats, arguments.threads, arguments.blocks) < 1:
        parser.error("--repeats, --threads and --blocks: allowed: 1 or more")
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "sweep": lambda: sweep(arguments.repeats),
        "plain": lambda: plain(arguments.repeats),
        "tokens": lambda: tokens(arguments.repeats, arguments.blocks),
        "9b": nine_b,
    }
    chosen = arguments.only.split(",")
    if not set(chosen) <= set(parts):
        parser.error(f"--only: allowed: {', '.join(parts)}")
    torch.set_num_threads(arguments.threads)
    for name in chosen:
        for line in parts[name]():
            print(line, flush=True)


def pairs_ms(ours: Callable[[], Any], other: Callable[[], Any], repeats: int) -> str:
    """Medians of both times and of the ratio ours / other over pairs run in turn."""
    ours(), other()
    pairs = [(taken_ms(ours), taken_ms(other)) for _ in range(repeats)]
    ours_ms, other_ms = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(first / second for first, second in pairs)
    return f"{ours_ms:10.2f} ms / {other_ms:10.2f} ms = {ratio:.4f}"


def sweep(repeats: int) -> Iterator[str]:
    """Encoding in six points that share it, and in one."""
    cfg = compose(["samples=8"])
    reader = Session().reader(cfg)
    samples = load_samples(cfg.needles, cfg.samples, cfg.seed)
    pages = [[p.pixels for p in cfg.model.render.build().render(s.turns)] for s in samples]

    def points(count: int) -> None:
        session = Session()
        for keep_ratio in KEEP_RATIOS[:count]:
            for pixels in pages:
                vision, _ = session.encode(reader, pixels, share=True)
                kept[keep_ratio] = len(vision)

    kept: dict[float, int] = {}
    shown = pairs_ms(lambda: points(len(KEEP_RATIOS)), lambda: points(1), repeats)
    yield f"sweep   encoding of {len(KEEP_RATIOS)} points / of 1 point        {shown}  (<= 1.1)"


def plain(repeats: int) -> Iterator[str]:
    """The whole way of a sample through our reader, and through transformers alone."""
    cfg = compose(["samples=4"])
    reader = Session().reader(cfg)
    assert isinstance(reader, Glm4vReader)
    for sample in load_samples(cfg.needles, cfg.samples, cfg.seed):
        pages = [page.pixels for page in cfg.model.render.build().render(sample.turns)]

        def ours(question: str = sample.question, pages: Sequence[Pixels] = tuple(pages)) -> str:
            vision = [keep_all(page) for page in reader.encode(pages)]
            return reader.answer(question, vision).text

        def theirs(question: str = sample.question, pages: Sequence[Pixels] = tuple(pages)) -> str:
            return plain_answer(reader, question, pages)

        assert ours() == theirs(), "the two ways answer differently"
        shown = pairs_ms(ours, theirs, repeats)
        yield f"plain   encode + answer / plain generate, {len(pages)} pages  {shown}  (<= 1.03)"


def plain_answer(reader: Glm4vReader, question: str, pages: Sequence[Pixels]) -> str:
    """The answer as a user of transformers would get it from the same model."""
    images = [np.stack([page] * 3, axis=-1) for page in pages]
    vision = reader.processor(images=images, return_tensors="pt").to(reader.device)
    content = [{"type": "image"} for _ in pages] + [{"type": "text", "text": question}]
    text = str(
        reader.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
    )
    placeholder = reader.tokenizer.convert_ids_to_tokens(reader.image_id)
    merged = reader.processor.merge_size**2
    first, *rest = text.split(placeholder)
    counts = [int(grid.prod()) // merged for grid in vision["image_grid_thw"]]
    text = first + "".join(
        placeholder * count + part for count, part in zip(counts, rest, strict=True)
    )
    encoded = reader.tokenizer(text, add_special_tokens=False, return_tensors="pt")
    ids = encoded["input_ids"].to(reader.device)
    with torch.inference_mode():
        output = reader.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == reader.image_id).int(),
            max_new_tokens=reader.max_new_tokens,
            do_sample=False,
            **vision,
        )
    return str(reader.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))


def tokens(repeats: int, blocks: int) -> Iterator[str]:
    """The token compressor beside the vision encoder that made its tokens."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    whole = device == "cuda"
    dtype = torch.bfloat16 if whole else torch.float32
    deep = vision_encoder(DEPTH if whole else 1 + blocks, device, dtype)
    shallow = None if whole else vision_encoder(1, device, dtype)
    compressor = TokenDct(0.5, BITS, EDGES)
    for pages, (rows, columns) in SHAPES:
        size = (2 * rows, 2 * columns)
        pixels = torch.randn(size[0] * size[1], 3 * 2 * 14 * 14, device=device, dtype=dtype)
        grid = torch.tensor([[1, *size]], device=device)
        features = torch.randn(rows * columns, CHANNELS, device=device).bfloat16()
        page = VisionTokens(features, (rows, columns))

        def one(encoder: Any, pixels: torch.Tensor = pixels, grid: torch.Tensor = grid) -> None:
            with torch.inference_mode():
                encoder(pixels, grid)

        def compress(page: VisionTokens = page) -> None:
            compressor.compress(page)

        one(deep)
        compress()
        ratios = []
        for _ in range(repeats):
            compress_ms = taken_ms(compress)
            encoder_ms = taken_ms(lambda: one(deep))
            if shallow is not None:
                first_ms = taken_ms(lambda: one(shallow))
                encoder_ms = first_ms + (encoder_ms - first_ms) / blocks * (DEPTH - 1)
            ratios.append((compress_ms / encoder_ms, pages * compress_ms, pages * encoder_ms))
        ratio, compress_ms, encoder_ms = sorted(ratios)[len(ratios) // 2]
        how = "" if whole else f", {DEPTH} blocks from 1 and {1 + blocks} timed"
        yield (
            f"tokens  [{pages}, {rows * columns}, {CHANNELS}] compressor / encoder on {device}  "
            f"{compress_ms:10.2f} ms / {encoder_ms:10.2f} ms = {ratio:.4f}  (<= 0.02{how})"
        )


if __name__ == "__main__":
    main()
