"""What every codec must hold."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from freqexp.codecs.base import COMPONENTS, Codec, CodecResult, decode, unnamed
from freqexp.codecs.numbers import OUTSIDE
from freqexp.coding.bitstream import BitstreamError, unpack
from freqexp.conform.cases import KEEP_RATIOS, PROFILES, Case
from freqexp.conform.expect import each_thread_count, expect, refuses
from freqexp.conform.inputs import colour_page, small_pages, text_page
from freqexp.nouns.page import Pixels
from freqexp.schemas.codecs import LosslessConfig


def same_page(one: CodecResult, other: CodecResult) -> bool:
    """Whether two results are one."""
    same_counts = (one.nominal_ratio, one.stored_bytes) == (other.nominal_ratio, other.stored_bytes)
    return same_counts and np.array_equal(one.pixels, other.pixels)


def decoded(case: Case, codec: Codec, data: bytes) -> Pixels:
    """By whoever finds the bytes; of a user's own file, which nobody else has, by the codec."""
    return decode(data) if case.is_installed else codec.decode(data)


def says_its_name(case: Case) -> None:
    """A codec from outside has no number, and its bitstreams say the option's name."""
    codec: Codec = case.build()
    if case.is_from_outside:
        number, name = codec.code, codec.name
        expect(number == OUTSIDE, f"code is {number}, allowed: {OUTSIDE}, which a codec inherits")
        expect(name == case.config.name, f"name is {name!r}, the option's is {case.config.name!r}")
    else:
        expect(codec.code != OUTSIDE, "code is missing")
    known = set(codec.sections) <= set(COMPONENTS)
    expect(known, f"sections {codec.sections} are counted as {COMPONENTS}")


def gives_a_page(case: Case) -> None:
    """A uint8 page, the input left alone, bytes by component, the same each time."""
    for keep_ratio in KEEP_RATIOS:
        codec: Codec = case.build(keep_ratio)
        for page in small_pages():
            before, result = page.copy(), codec.compress(page)
            pixels, stored = result.pixels, result.stored_bytes
            at = f"at keep_ratio {keep_ratio}, page {list(page.shape)}: "
            expect(pixels.dtype == np.uint8, f"{at}pixels are {pixels.dtype}, allowed: uint8")
            kept = pixels.shape == page.shape or not codec.keeps_size
            shape = list(pixels.shape)
            expect(kept and pixels.shape[2:] == page.shape[2:], f"{at}pixels have shape {shape}")
            ratio = result.nominal_ratio
            expect(ratio is None or ratio >= 1, f"{at}nominal_ratio is {ratio}, below 1")
            expect(stored is None or stored > 0, f"{at}stored_bytes is {stored}")
            expect((stored is None) == codec.simulated, f"{at}no bytes, or simulated, not both")
            total = sum(result.components.values())
            expect(total == (stored or 0), f"{at}components sum to {total}, not to {stored}")
            unknown = set(result.components) - set(COMPONENTS)
            expect(not unknown, f"{at}unknown components {sorted(unknown)}")
            expect(np.array_equal(page, before), f"{at}the input was changed")
            expect(same_page(codec.compress(page), result), f"{at}another result the second time")
            again = case.build(keep_ratio).compress(page)
            expect(same_page(again, result), f"{at}another result of another object")
            restored = np.array_equal(codec.restored(page), pixels)
            expect(restored, f"{at}`restored` is not what `compress` gives")


def errs_less_with_more(case: Case) -> None:
    """The error falls as keep_ratio grows, and so does the nominal ratio."""
    for page in small_pages()[:3]:
        results = [case.build(ratio).compress(page) for ratio in KEEP_RATIOS]
        counts = [result.nominal_ratio for result in results if result.nominal_ratio is not None]
        expect(counts == sorted(counts, reverse=True), f"nominal ratios {counts} do not fall")
        if not case.config.uses_keep_ratio:
            # Lossless, or so at the few levels that the format has.
            lossless = isinstance(case.config, LosslessConfig)
            kept = page if lossless else case.build().compress(results[0].pixels).pixels
            same = all(np.array_equal(result.pixels, kept) for result in results)
            expect(same, "uses_keep_ratio is false, and pixels are lost, or change once more")
        elif case.build().keeps_size:
            best = results[-1].pixels.astype(np.int64)
            errors = [int(((result.pixels - best) ** 2).sum()) for result in results]
            falls = errors == sorted(errors, reverse=True) and errors[0] > 0
            expect(falls, f"squared errors {errors} at keep ratios {KEEP_RATIOS} do not fall")


def stores_more_with_more(case: Case) -> None:
    """More bytes for a larger keep_ratio."""
    text, colour = text_page(), colour_page()
    for page in (text[:140, :300], text[:70, :98], colour[:70, :98]):
        codecs = [case.build(ratio) for ratio in KEEP_RATIOS]
        if not codecs[0].simulated:
            sizes = [len(codec.encode(page)) for codec in codecs]
            expect(sizes == sorted(sizes), f"bytes {sizes} at {KEEP_RATIOS} do not grow")
            grows = sizes[0] < sizes[-1]
            expect(grows == case.config.uses_keep_ratio, f"bytes {sizes}, against uses_keep_ratio")


def is_its_decoded_bitstream(case: Case) -> None:
    """The pixels are those of the bytes, and the bytes are all of them."""
    codec: Codec = case.build(0.3)
    for page in small_pages() if not codec.simulated else ():
        data, result = codec.encode(page), codec.compress(page)
        same = np.array_equal(decoded(case, codec, data), result.pixels)
        expect(same, "`decode` gives other pixels than `compress`")
        stored = len(data) + codec.shared_bytes
        expect(result.stored_bytes == stored, f"stored_bytes {result.stored_bytes}, not {stored}")


def refuses_what_is_not_whole(case: Case) -> None:
    """Truncated, damaged and lengthened bitstreams raise BitstreamError."""
    codec: Codec = case.build(0.3)
    if codec.simulated:
        return
    data = codec.encode(text_page()[:29, :45])
    for length in range(0, len(data), 7):
        cut = data[:length]
        said = refuses(partial(decode, cut), BitstreamError, f"{length} bytes are decoded")
        expect("truncated" in said or "empty" in said, f"{length} bytes: {said}")
    for place in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        whole = bytes(damaged)
        refuses(partial(decode, whole), BitstreamError, f"byte {place} may be damaged")
    longer = refuses(lambda: decode(data + b"\0\0"), BitstreamError, "bytes may follow")
    expect("2 bytes follow" in longer, f"2 bytes more: {longer}")


def refuses_parameters_and_sections_of_others(case: Case) -> None:
    """`restore` takes nothing on trust: other parameters and sections raise BitstreamError, or give
    a page of the shape that was asked for.
    """
    codec: Codec = case.build(0.3)
    if codec.simulated or not case.is_from_outside:
        return
    stream, _ = unnamed(unpack(codec.encode(text_page()[:29, :45])))
    blank = tuple(b"" for _ in stream.sections)
    halves = tuple(section[: len(section) // 2] for section in stream.sections)
    for other in (
        replace(stream, parameters=b""),
        replace(stream, parameters=b"\xff" * 40),
        replace(stream, sections=blank),
        replace(stream, sections=halves),
        replace(stream, shape=(5, 5)),
    ):
        try:
            page = codec.restore(other)
        except BitstreamError:
            continue
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            expect(False, f"`restore` of what it never wrote raised {why}, not BitstreamError")
        fits = page.dtype == np.uint8 and page.shape == other.shape
        expect(fits, f"`restore` of what it never wrote gave {page.dtype} {list(page.shape)}")


def keeps_everything_where_nothing_is_stored(case: Case) -> None:
    """A simulated codec changes nothing at keep_ratio 1."""
    codec: Codec = case.build(1.0)
    for page in small_pages():
        result = codec.compress(page)
        if codec.simulated and result.pixels.shape == page.shape:
            expect(np.array_equal(result.pixels, page), "simulated, and pixels change at 1")
            expect(result.nominal_ratio in (None, 1), f"nominal_ratio {result.nominal_ratio} at 1")


def is_the_same_with_any_number_of_threads(case: Case) -> None:
    """1, 2 and 5."""
    codec: Codec = case.build()
    results = [codec.compress(text_page()[:300, :300]) for _ in each_thread_count()]
    expect(all(same_page(result, results[0]) for result in results), "threads change the result")


def uses_only_what_its_schema_says(case: Case) -> None:
    """No profile without uses_profile, no keep ratio without uses_keep_ratio."""
    page = text_page()[:70, :98]
    if not case.config.uses_profile:
        results = [case.build(0.5, name).compress(page) for name in PROFILES]
        expect(all(same_page(r, results[0]) for r in results), "the profile changes the result")
    if not case.config.uses_keep_ratio:
        results = [case.build(ratio).compress(page) for ratio in KEEP_RATIOS]
        expect(all(same_page(r, results[0]) for r in results), "keep_ratio changes the result")


CHECKS = (
    says_its_name,
    gives_a_page,
    errs_less_with_more,
    stores_more_with_more,
    is_its_decoded_bitstream,
    refuses_what_is_not_whole,
    refuses_parameters_and_sections_of_others,
    keeps_everything_where_nothing_is_stored,
    is_the_same_with_any_number_of_threads,
    uses_only_what_its_schema_says,
)
