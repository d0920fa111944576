"""Length buckets: their edges, and tokens counted as OpenAI's own tokenizer does."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from freqexp.benchmarks import lengths
from freqexp.benchmarks.lengths import BUCKETS, bucket_name, bucket_of, count_tokens, in_bucket
from freqexp.errors import UserError


def test_the_eight_official_buckets() -> None:
    assert len(BUCKETS) == 8
    assert (BUCKETS[0], BUCKETS[-1]) == ("4096-8192", "524288-1048576")


@pytest.mark.parametrize(
    ("tokens", "name"),
    [
        (0, ""),
        (4095, ""),
        (4096, "4096-8192"),
        (8192, "4096-8192"),
        (8193, "8192-16384"),
        (1_048_576, "524288-1048576"),
        (1_048_577, ""),
    ],
)
def test_edges(tokens: int, name: str) -> None:
    assert bucket_name(tokens) == name


def test_all_texts_count() -> None:
    assert count_tokens(" tapir") == 2
    assert bucket_of([" tapir" * 2000, " tapir" * 48]) == "4096-8192"
    assert bucket_of([" tapir" * 2000, " tapir" * 47]) == ""
    assert bucket_of([" tapir" * 2000, " tapir" * 2097]) == "8192-16384"


@given(tokens=st.lists(st.integers(0, 9_000), max_size=4))
def test_in_a_bucket_is_what_the_whole_count_says(tokens: list[int]) -> None:
    texts = [" tapir" * (number // 2) + "a" * (number % 2) for number in tokens]
    whole = bucket_of(texts)
    assert [bucket for bucket in BUCKETS if in_bucket(texts, bucket)] == ([whole] if whole else [])


def test_both_edges_are_in_the_first_bucket_and_the_upper_one_in_the_others() -> None:
    assert in_bucket([" tapir" * 2048], "4096-8192")
    assert in_bucket([" tapir" * 4096], "4096-8192")
    assert not in_bucket([" tapir" * 4096], "8192-16384")
    assert in_bucket([" tapir" * 8192], "8192-16384")


def test_what_is_too_long_is_not_counted_to_its_end() -> None:
    def texts() -> Iterator[str]:
        yield " tapir" * 4097
        raise AssertionError("one text too many")

    assert not in_bucket(texts(), "4096-8192")


def test_the_shortcut_for_short_texts_never_misses_a_bucket() -> None:
    dense = "\U0001f9a5\u0f00" * 512  # of the characters with most tokens each
    assert count_tokens(dense) <= 4 * len(dense)
    assert bucket_of(["\x00" * 4096]) == bucket_name(count_tokens("\x00" * 4096))


def test_the_table_is_the_published_one() -> None:
    """The hash stands in tiktoken's own source."""
    count_tokens("")  # imports the package without its warnings
    packed = resources.files("bpe_openai.data").joinpath("o200k_base.tiktoken.gz").read_bytes()
    published = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == published


def merged(piece: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """Byte-pair encoding by its definition: the pair of the lowest rank first."""
    parts = [bytes([byte]) for byte in piece]
    while pairs := [
        (rank, place)
        for place in range(len(parts) - 1)
        if (rank := ranks.get(parts[place] + parts[place + 1])) is not None
    ]:
        _, place = min(pairs)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts


TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="abcDEF's't123 \n\r\t.,!?/<|>éß漢字한", max_size=40),
)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_counts_are_those_of_the_definition(text: str) -> None:
    count_tokens("")  # imports the package without its warnings
    table = importlib.import_module("bpe_openai.registry").o200k_base()
    pieces = regex.findall(table["pat_str"], text)
    assert "".join(pieces) == text
    ranks = table["mergeable_ranks"]
    assert count_tokens(text) == sum(len(merged(piece.encode(), ranks)) for piece in pieces)


def test_special_tokens_are_text() -> None:
    assert count_tokens("<|endoftext|>") == 7
    assert count_tokens("a<|endofprompt|>b") == 9


def test_halves_of_surrogate_pairs_count_as_replacement_characters() -> None:
    assert count_tokens("a\ud800b") == count_tokens("a\ufffdb")
    assert count_tokens("\ud83d\ude42") == count_tokens("\U0001f642")


def test_a_text_of_millions_of_characters_is_counted() -> None:
    assert count_tokens("write a poem about tapirs. " * 60_000) == 7 * 60_000 + 1


def test_nothing_is_downloaded_or_imported_before_it_is_needed() -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from freqexp.benchmarks.lengths import count_tokens\n"
        "assert 'bpe_openai' not in sys.modules\n"
        "print(count_tokens('write a poem'), 'tiktoken' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3", "False"]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths._tokenizer.cache_clear()
    monkeypatch.setitem(sys.modules, "bpe_openai", None)
    with pytest.raises(UserError, match="pip install bpe-openai"):
        count_tokens("tapir")
    assert bucket_of(["short"]) == ""
