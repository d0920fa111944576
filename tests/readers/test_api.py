"""A served model, asked over HTTP by whole runs and one request at a time."""

from __future__ import annotations

import base64
import functools
import io
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from api_double import FAILURES, KEY, Double, serving
from PIL import Image

from freqexp.answering.session import Session
from freqexp.comparing.budgets import AXES
from freqexp.comparing.compare import compare
from freqexp.comparing.load import load
from freqexp.composing.compose import compose
from freqexp.config.run import RunConfig
from freqexp.errors import RunError, UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import keep_all
from freqexp.readers.base import Answer, Request
from freqexp.readers.load import load_reader
from freqexp.readers.served.api import ApiReader
from freqexp.report.tables import markdown_report
from freqexp.results.record_file import load_records
from freqexp.results.table import render_table
from freqexp.running.execute import execute, run_folder
from freqexp.running.progress import Lines
from freqexp.schemas.codecs import JpegConfig

VARIABLE = "FREQEXP_TEST_KEY"
SETTINGS = (
    *("model=api", "model.served=org/some-vl", f"model.key_env={VARIABLE}", "needles.text=random"),
    *("model.form=short", "render=cells", "model.max_new_tokens=64", "model.backoff_s=0.01"),
    *("tracking=off", "baseline=false"),
)
TEXT = ("model.input=text", "compressor=none")


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(VARIABLE, KEY)


@pytest.fixture
def double() -> Iterator[Double]:
    with serving() as found:
        yield found


@functools.cache
def composed(*more: str) -> RunConfig:
    return compose([*SETTINGS, "model.endpoint=http://nowhere", *more])


@pytest.fixture
def configured(double: Double, tmp_path: Path) -> Callable[..., RunConfig]:
    """The run of some overrides, with this test's server and folder."""

    def make(*more: str, **changes: Any) -> RunConfig:
        cfg = composed(*more)
        model = replace(cfg.model, **{"endpoint": double.url, "timeout_s": 5.0, **changes})
        return replace(cfg, model=model, output_dir=str(tmp_path / "outputs"))

    return make


@pytest.fixture
def reader(configured: Callable[..., RunConfig]) -> Callable[..., ApiReader]:
    def make(**changes: Any) -> ApiReader:
        loaded = load_reader(configured(*TEXT, **changes).model)
        assert isinstance(loaded, ApiReader)
        return loaded

    return make


def ask(reader: ApiReader, text: str = "> hello\nyou\n", question: str = "what?") -> Answer:
    (answer,) = reader.answer_batch([Request(question, [], text=reader.text_ids(text))])
    return answer


def records_of(cfg: RunConfig) -> list[Any]:
    return load_records(run_folder(cfg, Session().run_id(cfg)) / "records.jsonl")


def every_file(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_one_request_in_ten_fails_and_every_sample_is_there_once(
    double: Double, configured: Callable[..., RunConfig]
) -> None:
    double.failing, double.crowd, double.slow = True, 32, 3.5
    cfg = configured(*TEXT, "samples=64", timeout_s=3.0)
    summary = execute(cfg, Session(), Lines(io.StringIO()))
    records = records_of(cfg)
    assert (summary.samples, summary.failed) == (64, 0)
    assert Counter(record.index for record in records) == Counter(range(64))
    assert len({record.sample_id for record in records}) == 64
    assert double.peak == 32
    assert set(double.failed) == set(FAILURES)
    # Nothing is asked again but what failed.
    assert len(double.bodies) == 64 + double.failed.total()
    assert sum(record.retries for record in records) == double.failed.total()
    assert summary.retries == double.failed.total() / 64


def test_kill_9_loses_nothing_and_the_same_command_goes_on(
    double: Double, configured: Callable[..., RunConfig], tmp_path: Path
) -> None:
    double.hold = 0.15
    cfg = configured(*TEXT, "samples=40", "model.concurrency=4")
    given = [*SETTINGS, *TEXT, "samples=40", "model.concurrency=4", "model.timeout_s=5"]
    given += [f"model.endpoint={double.url}", f"output_dir={cfg.output_dir}"]
    path = run_folder(cfg, Session().run_id(cfg)) / "records.jsonl"
    command = [sys.executable, "-m", "freqexp.run", *given]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") > 8):
            time.sleep(0.005)
        process.kill()
    before = path.read_bytes()
    survived = before.count(b"\n")
    assert 8 < survived < 40
    told = io.StringIO()
    execute(cfg, Session(), Lines(told))
    assert f"{survived}/40 samples" in told.getvalue()
    after = path.read_bytes()
    assert after.startswith(before[: before.rindex(b"\n") + 1])
    assert Counter(record.index for record in load_records(path)) == Counter(range(40))
    assert {header["Authorization"] for header in double.headers} == {f"Bearer {KEY}"}
    written = every_file(tmp_path)
    assert VARIABLE.encode() in written
    assert KEY.encode() not in written


def test_pages_after_the_codec_are_sent_as_they_were_decoded(
    double: Double, configured: Callable[..., RunConfig]
) -> None:
    cfg = configured("compressor=jpeg", "samples=1", "model.price_in=2", "model.price_out=10")
    summary = execute(cfg, Session(), Lines(io.StringIO()))
    (body,) = double.bodies
    (sample,) = Session().samples(cfg)
    codec = JpegConfig().build(cfg.keep_ratio, cfg.profile)
    drawn = [page.pixels for page in cfg.model.render.build().render(sample.turns)]
    wanted = [codec.compress(pixels).pixels for pixels in drawn]
    (message,) = body["messages"]
    *images, question = message["content"]
    assert question == {"type": "text", "text": sample.question}
    assert len(images) == len(wanted) == 2
    for image, pixels in zip(images, wanted, strict=True):
        assert np.array_equal(sent(image["image_url"]["url"]), pixels)
    (record,) = records_of(cfg)
    assert (record.pages, record.stored_bytes) == (2, summary.stored_bytes)
    assert record.answer == "an answer"
    assert record.cost == pytest.approx((2 * record.prompt_tokens + 10 * 4) / 1e6)
    for name in ("vision_tokens_in", "vision_tokens_out", "decoder_tokens", "text_tokens"):
        assert getattr(record, name) is None
    for name in ("kv_cache_bytes", "mean_layer_tokens", "new_tokens", "peak_memory_bytes"):
        assert getattr(record, name) is None


def sent(url: str) -> Pixels:
    head, data = url.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_tables_and_reports_say_what_the_server_counted(
    double: Double, configured: Callable[..., RunConfig], tmp_path: Path
) -> None:
    cfg = configured(*TEXT, "samples=2", "model.price_in=2", "model.price_out=10")
    summary = execute(cfg, Session(), Lines(io.StringIO()))
    mean = sum(record.prompt_tokens for record in records_of(cfg)) / 2
    assert summary.prompt_tokens == mean
    assert summary.cost == pytest.approx((2 * mean + 40) / 1e6)
    table = render_table([summary])
    assert "prompt tokens" in table
    assert f"{summary.cost:.6f}" in table
    found = compare(load([str(Path(cfg.output_dir) / "runs")]))
    costs = {axis.name: axis.cost(found.rows[0]) for axis in AXES}
    assert costs["prompt_tokens"] == mean
    assert (costs["decoder_tokens"], costs["kv_cache_bytes"], costs["flops"]) == (None, None, None)
    text = markdown_report(found, [])
    assert "| prompt tokens |" in text
    assert "time from page to answer: not measured" not in text


def test_half_of_a_text_is_its_newest_turns(
    double: Double, configured: Callable[..., RunConfig]
) -> None:
    whole = configured(*TEXT, "samples=1")
    half = configured("model.input=text", "compressor=truncate", "keep_ratio=0.5", "samples=1")
    for cfg in (whole, half):
        execute(cfg, Session(), Lines(io.StringIO()))
    (sample,) = Session().samples(whole)
    text = "".join(whole.model.render.build().texts(sample.turns))
    first, second = (body["messages"][0]["content"] for body in double.bodies)
    assert first == f"{text}\n{sample.question}"
    kept = second.removesuffix(f"\n{sample.question}")
    assert text.endswith(kept)
    assert 0 < len(kept) <= (len(text) + 1) // 2
    (record,) = records_of(half)
    assert (record.text_tokens, record.text_tokens_out) == (None, None)
    assert record.simulated is False


@pytest.mark.parametrize("status", [401, 403, 404, 307])
def test_what_no_further_sample_survives_ends_the_run(
    status: int, double: Double, configured: Callable[..., RunConfig]
) -> None:
    cfg = configured(*TEXT, "samples=200", "model.concurrency=2")
    double.status, double.hold = status, 0.1
    with pytest.raises(
        RunError, match=rf"^model\.endpoint: {double.url}.* answers {status}"
    ) as told:
        execute(cfg, Session(), Lines(io.StringIO()))
    assert "\n" not in str(told.value)
    assert KEY not in str(told.value)
    assert len(double.bodies) <= 4
    assert records_of(cfg) == []
    double.status = 200
    assert execute(replace(cfg, samples=2), Session(), Lines(io.StringIO())).failed == 0


def test_a_refused_request_is_the_error_of_its_sample(
    double: Double, configured: Callable[..., RunConfig], tmp_path: Path
) -> None:
    cfg = configured(*TEXT, "samples=3")
    double.status = 400
    with pytest.raises(UserError, match=r"all 3 samples failed; the first: server: it answers 400"):
        execute(cfg, Session(), Lines(io.StringIO()))
    assert len(double.bodies) == 3
    errors = {record.error for record in records_of(cfg)}
    assert errors == {"server: it answers 400 no, Bearer ***"}
    assert KEY.encode() not in every_file(tmp_path)


@pytest.mark.parametrize("failure", FAILURES)
def test_what_goes_on_failing_is_given_up(
    failure: str, double: Double, reader: Callable[..., ApiReader]
) -> None:
    double.failure = failure
    with pytest.raises(UserError, match=r"^server: .*\(given up after 2 retries\)$"):
        ask(reader(retries=2, timeout_s=0.3 if failure == "slow" else 5.0))
    assert double.failed == {failure: 3}


def test_a_server_that_says_nothing_is_given_up(
    double: Double, reader: Callable[..., ApiReader]
) -> None:
    double.hold = 0.5
    with pytest.raises(UserError, match=r"nothing came for 0\.1 s \(given up after 1 retries\)"):
        ask(reader(retries=1, timeout_s=0.1))


def test_the_wait_that_a_server_asks_for_is_kept(
    double: Double, reader: Callable[..., ApiReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("freqexp.readers.served.client.time.sleep", waits.append)
    for failure in ("429", "500"):
        double.failure = failure
        with pytest.raises(UserError):
            ask(reader(retries=3, backoff_s=8.0))
    asked, own = waits[:3], waits[3:]
    assert asked == [0.02] * 3
    for wait, longest in zip(own, (8.0, 16.0, 32.0), strict=True):
        assert longest / 2 <= wait <= longest


def test_a_wait_beyond_the_limit_is_not_waited(
    double: Double, reader: Callable[..., ApiReader]
) -> None:
    double.failure = "429"
    with pytest.raises(UserError, match=r"429 slow down; it asks to wait for 0 s$"):
        ask(reader(timeout_s=0.01))
    assert len(double.bodies) == 1


def test_what_is_sent_and_what_comes_back(double: Double, reader: Callable[..., ApiReader]) -> None:
    double.hold = 0.05
    answer = ask(reader(), "> a\u00e9\U0001f600\n", "?")
    (body,) = double.bodies
    assert body == {
        "model": "org/some-vl",
        "messages": [{"role": "user", "content": "> a\u00e9\U0001f600\n\n?"}],
        "temperature": 0,
        "max_tokens": 64,
        "seed": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.usage.retries, answer.usage.cost) == (4, 0, None)
    assert answer.prefill_ms >= 50
    assert 0 <= answer.decode_ms < answer.prefill_ms
    assert not answer.truncated


def test_without_a_key_none_is_sent_not_even_that_of_netrc(
    double: Double,
    reader: Callable[..., ApiReader],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    ask(reader(key_env=None))
    ask(reader())
    assert [header.get("Authorization") for header in double.headers] == [None, f"Bearer {KEY}"]


def test_thinking_is_not_the_answer_and_a_key_in_it_is_not_kept(
    double: Double, reader: Callable[..., ApiReader]
) -> None:
    double.text = f"I think {KEY}</think>\n\nthe answer"
    answer = ask(reader(answer_after="</think>"))
    assert answer.text == "the answer"
    assert answer.raw_text == "I think ***</think>\n\nthe answer"


def test_pages_are_needed_and_kept_bit_by_bit(
    double: Double, reader: Callable[..., ApiReader], colour_page: Pixels, sparse_page: Pixels
) -> None:
    loaded = reader()
    with pytest.raises(UserError, match="no pages"):
        loaded.encode([])
    tokens = [keep_all(page) for page in loaded.encode([colour_page, sparse_page])]
    assert tokens[0].features.dtype == torch.uint8
    loaded.answer("what?", tokens)
    images = double.bodies[0]["messages"][0]["content"][:2]
    for image, page in zip(images, (colour_page, sparse_page), strict=True):
        assert np.array_equal(sent(image["image_url"]["url"]), page)


def test_a_key_that_is_gone_is_missed_when_the_model_is_loaded(
    configured: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = configured(*TEXT).model
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(RunError, match=r"model\.key_env"):
        load_reader(model)


def test_requests_can_hold_more_and_less(double: Double, reader: Callable[..., ApiReader]) -> None:
    asked = {"max_tokens": None, "max_completion_tokens": 9, "temperature": 1, "seed": None}
    chosen = reader(extra_body={**asked, "stream_options": None, "top_k": 1})
    assert chosen.generation == {"temperature": 1, "max_completion_tokens": 9, "top_k": 1}
    ask(chosen)
    (body,) = double.bodies
    assert {name: value for name, value in body.items() if name not in ("model", "messages")} == {
        "stream": True,
        "temperature": 1,
        "max_completion_tokens": 9,
        "top_k": 1,
    }


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Use 'max_completion_tokens' instead.", "model.extra_body.max_tokens=null model.extra"),
        ("'temperature' does not support 0", r"model\.extra_body\.temperature=null leaves it out"),
        ("too long a prompt", "too long a prompt$"),
    ],
)
def test_a_refused_parameter_is_answered_with_what_to_type(
    double: Double,
    reader: Callable[..., ApiReader],
    said: str,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    double.status = 400
    monkeypatch.setattr("freqexp.readers.served.client._body", lambda response: said)
    with pytest.raises(UserError, match=advice):
        ask(reader())
