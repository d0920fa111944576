"""Time of encode + answer with nothing compressed, beside the same model's own `generate`.

    python -m bench.overhead [--repeats 9] [--threads 1] [--model FOLDER]

The two take turns in one process, from the same page images and question to the same text; the
ratio (freqexp over plain, the median of the pairs, in CPU time of the process on a CPU) is the
result. --model takes a folder of a GLM-4.1V model; without it the bundled reader answers.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from freqexp.benchmarks.short import short_sample
from freqexp.compose import compose
from freqexp.page import Pixels
from freqexp.readers.glm4v import Glm4vReader
from freqexp.tokens.base import keep_all

PAGES = (1, 2, 4, 8)


def main() -> None:
    """Print one row for each number of pages."""
    parser = argparse.ArgumentParser(description="Time of our path over plain generate.")
    parser.add_argument("--repeats", type=int, default=9, help="measured pairs a row")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--model", help="folder of a GLM-4.1V model; default: the bundled reader")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.threads < 1:
        parser.error("--repeats and --threads: allowed: 1 or more")
    torch.set_num_threads(arguments.threads)
    chosen = [f"model.path={arguments.model}"] if arguments.model else []
    reader = Glm4vReader.load(compose(["tracking=off", *chosen]).model)
    print(f"{'pages':>5}{'freqexp ms':>12}{'plain ms':>11}{'ratio':>8}  same text")
    for count in PAGES:
        pages, question = material(count)
        ours_ms, plain_ms, ratio, same = measure(
            partial(ours, reader, pages, question),
            partial(plain, reader, pages, question),
            arguments.repeats,
        )
        print(
            f"{count:>5}{ours_ms:>12.1f}{plain_ms:>11.1f}{ratio:>8.3f}  {'yes' if same else 'NO'}"
        )


def material(count: int) -> tuple[list[Pixels], str]:
    """`count` pages of generated turns, and the question of one of their samples."""
    render = compose(["tracking=off"]).model.render.build()
    pages: list[Pixels] = []
    question = ""
    for number in range(count):
        sample = short_sample(random.Random(f"overhead {number}"), 2, "eval")
        question = sample.question
        pages += [page.pixels for page in render.render(sample.turns)]
    return pages[:count], question


def ours(reader: Glm4vReader, pages: Sequence[Pixels], question: str) -> str:
    """Encode, keep everything, answer."""
    return reader.answer(question, [keep_all(page) for page in reader.encode(pages)]).text


@torch.inference_mode()
def plain(reader: Glm4vReader, pages: Sequence[Pixels], question: str) -> str:
    """The model's own processor and `generate`, with the same settings."""
    tokenizer, model = reader.tokenizer, reader.model
    images = [np.stack([page] * 3, axis=-1) for page in pages]
    vision = reader.processor(images=images, return_tensors="pt").to(reader.device)
    content = [{"type": "image"} for _ in pages] + [{"type": "text", "text": question}]
    chat = [{"role": "user", "content": content}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    first, *rest = text.split("<|image|>")
    sizes = (vision["image_grid_thw"].prod(dim=1) // reader.processor.merge_size**2).tolist()
    full = first + "".join("<|image|>" * n + part for n, part in zip(sizes, rest, strict=True))
    ids = tokenizer(full, return_tensors="pt")["input_ids"].to(reader.device)
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == reader.image_id).int(),
        **{**vision, "pixel_values": vision["pixel_values"].to(model.dtype)},
        max_new_tokens=reader.max_new_tokens,
        do_sample=False,
    )
    return str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))


def measure(
    ours: Callable[[], str], plain: Callable[[], str], repeats: int
) -> tuple[float, float, float, bool]:
    """Median milliseconds of both, the median ratio of pairs that ran one after the other, each
    first in turn, and whether all texts were the same.
    """
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    texts = {ours(), plain()}
    pairs = []
    for number in range(repeats):
        spent = {}
        for work in (ours, plain) if number % 2 else (plain, ours):
            started = clock()
            texts.add(work())
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            spent[work] = (clock() - started) * 1000
        pairs.append((spent[ours], spent[plain]))
    first, second = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    return first, second, ratio, len(texts) == 1


if __name__ == "__main__":
    main()
