"""What people are promised when providers fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from assistant.chat import evidence, extract, pace
from assistant.chat.models import Breaker, Broken, Call, Clipped, Models, Text, _seconds
from assistant.domain import Passage, Place
from assistant.settings import PROJECT, Settings
from bench.processes import free_port
from tests.chat.conftest import Provider
from tests.fakes.openai import ANSWER
from tests.fakes.wire import CutShort

PASSAGE = Passage(
    id="p", document_id=1, document="leave.md", title="Leave", place=Place(), access=1, text_hash="h",
    text="Ten unused days may be carried over. They lapse on 31 March.",
)  # fmt: skip
MESSAGES = [
    ChatMessage(
        role="user",
        content=f'<passages>\n{evidence.render([PASSAGE])}\n</passages>\n<question language="en">\n'
        "How many days can I carry over?\n</question>",
    )
]


async def run(models: Models, **kw: bool) -> tuple[str, list[str], Call]:
    """The text that stands at the end, the restarts on the way, and the call."""
    call = Call("answer", time.monotonic() + 8)
    text, restarts = "", []
    async for event in models.stream("strong", MESSAGES, call, **kw):
        if isinstance(event, Broken):
            restarts.append(event.outcome)
            text = ""
        else:
            assert isinstance(event, Text)
            text += event.text
    return text, restarts, call


async def test_a_whole_answer_comes_with_its_tokens_and_cost(provider: Provider) -> None:
    text, restarts, call = await run(Models(provider.settings("ok")))
    assert text == ANSWER
    assert restarts == []
    (attempt,) = call.attempts
    assert attempt.outcome == "ok"
    assert (attempt.tokens_in, attempt.tokens_out, attempt.tokens_cached) == (1000, 13, 400)
    # 600 fresh tokens at $1, 400 cached at $0.10, 13 out at $4 a million.
    assert attempt.cost_nano == 600_000 + 40_000 + 52_000
    assert attempt.model_served == "ok"
    assert attempt.ms_first is not None


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("500", "http_500"), ("429", "rate_limited"), ("401", "unauthorized"), ("hang", "timeout"), ("slow", "timeout"),
        ("nochoices", "empty"), ("garbage", "broken"), ("too_long", "too_long"), ("429bare", "rate_limited"),
        ("404", "http_404"), ("keepalive", "timeout"),
    ],
)  # fmt: skip
async def test_a_provider_that_fails_before_the_first_word_is_replaced_silently(
    provider: Provider, mode: str, outcome: str | None
) -> None:
    text, restarts, call = await run(Models(provider.settings(mode, "ok")))
    assert text == ANSWER
    assert restarts == []
    assert [a.outcome for a in call.attempts][1:] == ["ok"]
    assert outcome in {None, call.attempts[0].outcome}
    assert call.attempts[0].outcome != "ok"


@pytest.mark.parametrize(
    ("mode", "outcome"), [("cut", "cut"), ("nofinish", "cut"), ("stall", "timeout"), ("badjson", "broken")]
)
@pytest.mark.parametrize("position", [1, 5, 11])
async def test_a_broken_stream_is_never_shown_as_whole_and_is_named(
    provider: Provider, mode: str, outcome: str, position: int
) -> None:
    provider.cut_at = position
    # Limits that a busy machine keeps: what is told apart here is how a stream broke.
    text, restarts, call = await run(Models(provider.settings(mode, "ok", first_token_s=5.0, gap_s=1.5)))
    assert text == ANSWER
    assert restarts == [outcome]
    assert [a.outcome for a in call.attempts] == [outcome, "ok"]


async def test_our_giving_way_to_others_is_not_taken_for_the_providers_silence(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def somebody_waits_for_a_first_word() -> None:
        pace.here.begin("other")

    monkeypatch.setattr(pace, "here", pace.Pace())
    monkeypatch.setattr(pace, "GIVE_WAY_S", 0.8)
    await asyncio.create_task(somebody_waits_for_a_first_word())
    limits = {"gap_s": 0.4}
    text, restarts, call = await run(Models(provider.settings("ok", **limits)))
    assert (text, restarts) == (ANSWER, [])
    # One that is silent after that is still given up, and the turn's deadline holds while we give way.
    _, restarts, _ = await run(Models(provider.settings("stall", "ok", **limits)))
    assert restarts == ["timeout"]
    call = Call("answer", time.monotonic() + 0.4)
    events = [e async for e in Models(provider.settings("stall", **limits)).stream("strong", MESSAGES, call)]
    assert Broken("deadline") in events
    assert call.attempts[0].ms < 750


async def test_a_provider_that_cannot_be_reached_is_told_from_one_that_fails(provider: Provider) -> None:
    settings = provider.settings("ok", "ok")
    nobody = settings.models.deployments[0].model_copy(update={"api_base": f"http://127.0.0.1:{free_port()}/v1"})
    chain = [nobody, settings.models.deployments[1]]
    models = Models(Settings(models=settings.models.model_copy(update={"deployments": chain})))
    text, _, call = await run(models)
    assert text == ANSWER
    assert [a.outcome for a in call.attempts] == ["unreachable", "ok"]


@pytest.mark.parametrize("framing", ["chunked", "unchunked"])
async def test_a_body_that_ends_in_the_middle_of_its_bytes_is_no_answer(provider: Provider, framing: str) -> None:
    wire = CutShort()
    async with wire.serving() as base:
        for share in (0.02, 0.3, 0.75, 0.99):
            wire.share = share
            settings = provider.settings(framing, "ok")
            primary, fallback = settings.models.deployments
            chain = [primary.model_copy(update={"api_base": base}), fallback]
            models = Models(Settings(models=settings.models.model_copy(update={"deployments": chain})))
            text, _, call = await run(models)
            assert text == ANSWER
            assert [a.outcome for a in call.attempts] == ["empty" if share < 0.1 else "cut", "ok"]


async def test_an_answer_that_reached_its_limit_of_tokens_says_so(provider: Provider) -> None:
    models = Models(provider.settings("length", "ok"))
    call = Call("answer", time.monotonic() + 8)
    events = [e async for e in models.stream("strong", MESSAGES, call)]
    assert isinstance(events[-1], Clipped)
    assert provider.calls == {"length": 1}
    assert call.attempts[0].outcome == "clipped"


async def test_a_question_that_is_too_long_does_not_keep_the_model_from_the_next_one(provider: Provider) -> None:
    models = Models(provider.settings("too_long"))
    for _ in range(3):
        await run(models)
    assert provider.calls["too_long"] == 3


async def test_the_deadline_is_the_turns_and_no_provider_is_blamed_for_it(provider: Provider) -> None:
    models = Models(provider.settings("hang", "stall", "ok"))
    call = Call("answer", time.monotonic() + 0.3)
    text = "".join([e.text async for e in models.stream("strong", MESSAGES, call) if isinstance(e, Text)])
    assert "Ten unused days" in text
    assert provider.calls == {"hang": 1}
    assert [a.outcome for a in call.attempts] == ["deadline", "ok"]
    assert models.breaker.admits("hang-0")


async def test_the_built_in_model_may_take_longer_than_a_provider_may(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = extract.quote

    async def slowly(*given: Any) -> str:
        await asyncio.sleep(1.5)
        return await quote(*given)

    monkeypatch.setattr(extract, "quote", slowly)
    settings = provider.settings("hang", turn_s=1.0)
    assert settings.models.first_token_s < 1.5
    text, _, call = await run(Models(settings))
    assert text
    assert [a.outcome for a in call.attempts][-1] == "ok"


async def test_when_every_provider_fails_the_passages_are_quoted(provider: Provider) -> None:
    text, _, call = await run(Models(provider.settings("500", "cut")))
    assert "Ten unused days may be carried over" in text
    assert "[1]" in text
    assert [a.provider for a in call.attempts] == ["openai", "openai", "builtin"]
    assert call.attempts[-1].cost_nano == 0


async def test_a_refused_request_is_not_sent_to_the_next_provider(provider: Provider) -> None:
    text, _, call = await run(Models(provider.settings("400", "ok")))
    assert "Ten unused days" in text
    assert provider.calls == {"400": 1}
    assert [a.outcome for a in call.attempts] == ["bad_request", "ok"]


async def test_a_dead_primary_is_asked_once_while_it_rests(provider: Provider) -> None:
    models = Models(provider.settings("500", "ok"))
    for _ in range(8):
        text, _, _ = await run(models)
        assert text == ANSWER
    assert provider.calls["500"] == 1
    assert provider.calls["ok"] == 8


async def test_a_stream_without_usage_still_counts_tokens(provider: Provider) -> None:
    text, _, call = await run(Models(provider.settings("nousage")))
    assert call.attempts[0].tokens_out == len(text) // 4
    assert call.attempts[0].tokens_in > 0


def test_the_breaker_lets_one_call_through_after_its_rest() -> None:
    moment = [0.0]
    breaker = Breaker(5, lambda: moment[0])
    assert breaker.admits("a")
    breaker.failed("a")
    assert not breaker.admits("a")
    moment[0] = 5.1
    assert breaker.admits("a")
    assert not breaker.admits("a")
    breaker.worked("a")
    assert breaker.admits("a")


def test_a_deployment_that_stays_dead_rests_longer_each_time_up_to_a_minute() -> None:
    moment = [0.0]
    breaker = Breaker(5, lambda: moment[0])
    tried = []
    for second in range(400):
        moment[0] = float(second)
        if breaker.admits("a"):
            tried.append(second)
            breaker.failed("a")
            breaker.failed("a")  # another call that was already under way
    assert tried == [0, 5, 15, 35, 75, 135, 195, 255, 315, 375]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("7", 7, 7), ("0", 0, 0), ("soon", None, None), ("", None, None), ("Wed, 21 Oct 2150 07:28:00 GMT", 1e9, 1e10)],
)
def test_a_wait_that_the_provider_asks_for_is_read_as_seconds_or_date(
    header: str, least: float | None, most: float | None
) -> None:
    found = _seconds(header)
    assert found is None if least is None or most is None else found is not None and least <= found <= most


def test_the_first_call_to_a_provider_imports_next_to_nothing_once_the_models_are_ready() -> None:
    script = (
        "import asyncio, sys, time\n"
        "from llama_index.core.llms import ChatMessage\n"
        "from assistant.chat.models import Call, Models\n"
        "from tests.chat.conftest import Provider\n"
        "from tests.fakes.serve import serving\n"
        "async def main():\n"
        "    fake = Provider()\n"
        "    async with serving(fake.app) as base:\n"
        "        fake.base = f'{base}/v1'\n"
        "        models = Models(fake.settings('ok', first_token_s=30, turn_s=30))\n"
        "        await models.ready()\n"
        "        before = set(sys.modules)\n"
        "        call = Call('answer', time.monotonic() + 20)\n"
        "        async for _ in models.stream('strong', [ChatMessage(role='user', content='hello')], call): pass\n"
        "        print(call.attempts[0].outcome, len(set(sys.modules) - before))\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=120)
    outcome, imported = run.stdout.split()[-2:]
    assert outcome == "ok"
    # 600 where nothing is made ready.
    assert int(imported) < 60
