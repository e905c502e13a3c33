"""The one door to model completions: LiteLLM's Router with our order across providers.

LiteLLM's Router speaks to every provider, but measured on 1.106.2 it counts a stream that ends without a finish reason
as a success, falls back on a 400, never cools down a single deployment and never changes provider after the first
token. So each deployment is a group of its own, and the order, the breaker and the deadlines are here
(docs/decisions/0002-fallback.md). This is the only retry loop.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx
import litellm
from litellm import Router
from litellm.exceptions import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ContextWindowExceededError,
    RateLimitError,
    Timeout,
)
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, get_ssl_configuration
from llama_index.core.llms import ChatMessage

from assistant.chat import extract, pace
from assistant.chat.deltas import JoinedDeltas
from assistant.domain import Attempt, Embedder, now
from assistant.errors import ModelError
from assistant.settings import Deployment, Settings

Tier = Literal["small", "strong"]
_LONGEST_BREAK = 60.0
# What LiteLLM imports at its first call to a provider: three quarters of a second of the event loop.
_AT_FIRST_CALL = ("openai.resources", "litellm.proxy._types", "litellm.integrations.otel.logger")
# Outcomes that tell nothing of the next question to the same deployment.
_NOT_ITS_FAULT = {"bad_request", "too_long", "filtered", "deadline"}
litellm.suppress_debug_info = True
litellm.telemetry = False
# LiteLLM counts tokens for a price of its own at each call; the tokenizer for it takes half a second of the event loop
# at the first one, and 116 MB. Prices here are of the usage that providers send.
litellm.disable_token_counter = True
# Below INFO they say whole prompts, whatever LITELLM_LOG and OPENAI_LOG ask for: see `masking.mask_logs`.
for _name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "openai"):
    if logging.getLogger(_name).level < logging.INFO:
        logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Text:
    """More text of the model."""

    text: str


@dataclass(frozen=True)
class Broken:
    """The text so far is void: the provider broke off and the next one begins."""

    outcome: str


@dataclass(frozen=True)
class Clipped:
    """The model reached its limit of tokens: the text so far stands, but it is not the whole."""


@dataclass
class Call:
    """What one call of the models may take and what it took. `deadline` is the turn's, on the monotonic clock."""

    feature: str
    deadline: float
    attempts: list[Attempt] = field(default_factory=list)


class Breaker:
    """Keeps a failing deployment out for a while, twice as long at each further failure, then lets one call try it."""

    def __init__(self, rest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest_s, self._clock = rest_s, clock
        self._closed_until: dict[str, float] = {}
        self._rested: dict[str, float] = {}
        self._tried: set[str] = set()

    def admits(self, name: str) -> bool:
        """Whether a call may go there now; the one that is let through after a rest holds the others back."""
        until = self._closed_until.get(name)
        if until is None:
            return True
        if self._clock() < until:
            return False
        self._closed_until[name] = self._clock() + self._rest_s
        self._tried.add(name)
        return True

    def failed(self, name: str, asked_s: float | None = None) -> None:
        """Note a failure; `asked_s` is how long the provider itself wants to be left alone."""
        moment = self._clock()
        if name in self._closed_until and moment < self._closed_until[name] and name not in self._tried:
            # One of several calls that were under way when the first of them failed.
            return
        self._tried.discard(name)
        rest = max(self._rest_s, min(2 * self._rested.get(name, 0.0), _LONGEST_BREAK))
        self._rested[name] = rest
        self._closed_until[name] = moment + max(rest, min(asked_s or 0.0, _LONGEST_BREAK))

    def worked(self, name: str) -> None:
        self._tried.discard(name)
        self._rested.pop(name, None)
        self._closed_until.pop(name, None)


class _CutError(Exception):
    """The stream ended without its end."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class _Patience:
    """How long a provider may be silent, and no longer than until the turn's deadline, on the monotonic clock."""

    def __init__(self, silence_s: float, deadline: float) -> None:
        self._deadline = deadline
        self.begin(silence_s)

    def begin(self, silence_s: float) -> None:
        """From now on it may be silent for so long."""
        self._due = time.monotonic() + silence_s

    @asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """Raises `_CutError` when what is waited for in it does not come in time."""
        before = pace.holding.set(self._held)
        try:
            async with asyncio.timeout_at(self._end()) as self._limit:
                yield
        except TimeoutError:
            # A turn that has no time left says nothing about the provider.
            raise _CutError("deadline" if self._deadline < self._due else "timeout") from None
        finally:
            pace.holding.reset(before)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """While we give way to others, not listening, the silence is ours."""
        began, due = time.monotonic(), self._due
        self._due = math.inf
        self._limit.reschedule(self._end())
        yield
        self._due = due + time.monotonic() - began
        self._limit.reschedule(self._end())

    def _end(self) -> float | None:
        end = min(self._due, self._deadline)
        return None if end == math.inf else asyncio.get_running_loop().time() + end - time.monotonic()


class Models:
    """Completions by tier. The built-in quoting model ends every chain of answers."""

    def __init__(self, settings: Settings, embedder: Embedder | None = None) -> None:
        self._settings = settings.models
        self._deployments = {d.name: d for d in settings.models.deployments}
        self.breaker = Breaker(settings.models.breaker_s)
        litellm.custom_provider_map = [
            {"provider": extract.PROVIDER, "custom_handler": extract.ExtractLLM(embedder)},
        ]
        litellm.utils.custom_llm_setup()
        litellm.aclient_session = _client()
        self._builtin = Deployment(name="built-in", tier="small", model=extract.MODEL)
        self._router = Router(
            model_list=[
                {"model_name": d.name, "litellm_params": self._params(d, settings)}
                for d in [*self._deployments.values(), self._builtin]
            ],
            num_retries=0,
            disable_cooldowns=True,
        )

    @staticmethod
    def _params(deployment: Deployment, settings: Settings) -> dict[str, Any]:
        params: dict[str, Any] = {"model": deployment.model, "max_retries": 0}
        if deployment.api_base:
            params["api_base"] = deployment.api_base
        if deployment.model != extract.MODEL:
            # A server of one's own may need no key; the client still wants one.
            params["api_key"] = settings.environment(deployment.api_key_env) or "none"
        return params

    async def ready(self) -> None:
        """Import, off the event loop, what the first call to a provider would import on it."""
        if self._deployments:
            for name in _AT_FIRST_CALL:
                await asyncio.to_thread(importlib.import_module, name)

    def has(self, tier: Tier) -> bool:
        """Whether a real model serves this tier."""
        return any(d.tier == tier for d in self._deployments.values())

    def context(self) -> int:
        """Tokens that every model which may be asked takes in. Without one there is no limit to speak of."""
        return min((d.context for d in self._deployments.values()), default=1_000_000)

    def tokens(self, texts: Sequence[str]) -> int:
        """Tokens of the texts: by the tokenizer of the first model where LiteLLM ships it, else one for three
        characters, which is more than languages of this alphabet take. Others it would fetch from the network."""
        if name := self.tokenizer:
            return sum(len(litellm.encode(model=name, text=text)) for text in texts if text)
        return sum(-(-len(text) // 3) for text in texts)

    @property
    def tokenizer(self) -> str:
        """The model whose tokenizer counts; empty where tokens are estimated."""
        name = next((d.model.split("/", 1)[-1] for d in self._deployments.values()), "")
        return name if name in litellm.open_ai_chat_completion_models else ""

    def _chain(self, tier: Tier, *, quoting: bool) -> list[Deployment]:
        """Deployments in the order tried: the tier's own, the other tier's, and for answers the built-in one."""
        own = [d for d in self._deployments.values() if d.tier == tier]
        other = [d for d in self._deployments.values() if d.tier != tier]
        return [*own, *other, *([self._builtin] if quoting else [])]

    async def stream(
        self,
        tier: Tier,
        messages: Sequence[ChatMessage],
        call: Call,
        *,
        quoting: bool = True,
        only_quoting: bool = False,
    ) -> AsyncIterator[Text | Broken | Clipped]:
        """Text of the first deployment that gives a whole answer; `Broken` voids what came before it.

        `quoting` puts the built-in model at the end of the chain, `only_quoting` leaves just that one. `Clipped` is the
        last event of an answer that reached its limit of tokens. Raises `ModelError` when all failed, which with
        `quoting` cannot happen.
        """
        wire = [{"role": m.role.value, "content": m.content or ""} for m in messages]
        refused = False
        too_long_for = 0
        chain = [self._builtin] if only_quoting else self._chain(tier, quoting=quoting)
        for deployment in chain:
            builtin = deployment is self._builtin
            if not builtin and (
                refused
                or deployment.context < too_long_for
                or time.monotonic() >= call.deadline
                or not self.breaker.admits(deployment.name)
            ):
                continue
            shown = False
            attempt = _Meter(call.feature, tier, deployment, wire)
            try:
                async for text in self._one(deployment, wire, call, attempt):
                    shown = True
                    yield Text(text)
            except Exception as error:  # noqa: BLE001 - any failure of a provider means the next one; it is recorded
                outcome, rest = _classify(error)
                call.attempts.append(attempt.done(outcome))
                # The request itself was at fault: other providers would refuse it too, at a price.
                refused = outcome == "bad_request"
                if outcome == "too_long":
                    too_long_for = deployment.context
                if not builtin and outcome not in _NOT_ITS_FAULT:
                    self.breaker.failed(deployment.name, rest)
                if shown:
                    yield Broken(outcome)
                continue
            except BaseException:
                call.attempts.append(attempt.done("stopped"))
                raise
            self.breaker.worked(deployment.name)
            call.attempts.append(attempt.done("clipped" if attempt.clipped else "ok"))
            if attempt.clipped:
                yield Clipped()
            return
        raise ModelError("No model could answer.", "Ask again in a moment.", outcome="exhausted")

    async def _one(
        self, deployment: Deployment, wire: list[dict[str, str]], call: Call, attempt: _Meter
    ) -> AsyncIterator[str]:
        if deployment is self._builtin:
            # The end of the chain: on a busy machine it may take as long as it takes.
            options, first_s, gap_s, deadline = dict[str, Any](), math.inf, math.inf, math.inf
        else:
            options = {"max_tokens": self._settings.answer_tokens}
            first_s, gap_s, deadline = self._settings.first_token_s, self._settings.gap_s, call.deadline
        patience = _Patience(first_s, deadline)
        async with patience.wait():
            stream = await self._router.acompletion(
                model=deployment.name,
                messages=wire,
                stream=True,
                stream_options={"include_usage": True},
                **options,
            )
        chunks = aiter(stream)
        try:
            while True:
                try:
                    async with patience.wait():
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    break
                except Exception as error:
                    # The provider was reached, whatever LiteLLM says of it when the rest does not come or is no chunk.
                    if _classify(error)[0] != "unreachable":
                        raise
                    raise _CutError(attempt.cut() if _unreachable(error) else "broken") from error
                attempt.served(getattr(chunk, "model", None), getattr(chunk, "usage", None))
                text = chunk.choices[0].delta.content if chunk.choices else None
                # A chunk without text is no sign of an answer: the wait goes on.
                if text:
                    attempt.text(text)
                    yield text
                    patience.begin(gap_s)
            # The router invents a finish reason where there was none; what the provider sent is kept in `chunks`.
            ended = [c.choices[0].finish_reason for c in stream.chunks if c.choices and c.choices[0].finish_reason]
            if not ended or not attempt.characters:
                raise _CutError(attempt.cut())
            if ended[-1] == "content_filter":
                raise _CutError("filtered")
            attempt.clipped = ended[-1] == "length"
        finally:
            await stream.aclose()

    def calls_tools(self) -> bool:
        """Whether some model can be asked which tools to call."""
        return any(d.tools for d in self._deployments.values())

    async def pick(
        self, messages: Sequence[ChatMessage], tools: Sequence[dict[str, Any]], call: Call
    ) -> list[tuple[str, str]]:
        """The tools that a model wants called: each name with its arguments as the model wrote them.

        Only models that can call tools are asked, small ones first. Raises `ModelError` when none replies.
        """
        wire = [{"role": m.role.value, "content": m.content or ""} for m in messages]
        able = sorted((d for d in self._deployments.values() if d.tools), key=lambda d: d.tier)
        for deployment in able:
            left = min(self._settings.first_token_s, call.deadline - time.monotonic())
            if left <= 0 or not self.breaker.admits(deployment.name):
                continue
            attempt = _Meter(call.feature, deployment.tier, deployment, wire)
            try:
                async with asyncio.timeout(left):
                    reply = await self._router.acompletion(
                        model=deployment.name,
                        messages=wire,
                        tools=list(tools),
                        tool_choice="auto",
                        # LiteLLM would look for tools of MCP servers, and 1.106.2 wants another `mcp` for it.
                        _skip_mcp_handler=True,
                        max_tokens=self._settings.answer_tokens,
                    )
                attempt.served(getattr(reply, "model", None), getattr(reply, "usage", None))
                wanted = reply.choices[0].message.tool_calls or []
                picked = [(str(w.function.name), str(w.function.arguments)) for w in wanted]
            except Exception as error:  # noqa: BLE001 - any failure of a provider means the next one; it is recorded
                outcome, rest = _classify(error)
                call.attempts.append(attempt.done(outcome))
                if outcome not in _NOT_ITS_FAULT:
                    self.breaker.failed(deployment.name, rest)
                continue
            except BaseException:
                call.attempts.append(attempt.done("stopped"))
                raise
            self.breaker.worked(deployment.name)
            call.attempts.append(attempt.done("ok"))
            return picked
        raise ModelError("No model said what to look up.", "Ask again in a moment.", outcome="exhausted")

    async def complete(self, tier: Tier, messages: Sequence[ChatMessage], call: Call) -> str:
        """The whole text of a small job. Raises `ModelError` when no configured model gives one."""
        parts: list[str] = []
        async for event in self.stream(tier, messages, call, quoting=False):
            if isinstance(event, Text):
                parts.append(event.text)
            elif isinstance(event, Broken):
                parts.clear()
        return "".join(parts)


class _Meter:
    """Measures one attempt."""

    def __init__(self, feature: str, tier: Tier, deployment: Deployment, wire: Sequence[Mapping[str, str]]) -> None:
        self._feature, self._tier, self._deployment = feature, tier, deployment
        self._asked = sum(len(message["content"]) for message in wire)
        self._began = time.monotonic()
        self._first: float | None = None
        self._model = ""
        self._usage: Any = None
        self.characters = 0
        self.clipped = False

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def served(self, model: str | None, usage: Any) -> None:
        self._model = model or self._model
        self._usage = usage or self._usage

    def text(self, text: str) -> None:
        if self._first is None:
            self._first = self.seconds()
        self.characters += len(text)

    def cut(self) -> str:
        """What it is called when its stream ended too soon."""
        return "cut" if self.characters else "empty"

    def done(self, outcome: str) -> Attempt:
        usage, d = self._usage, self._deployment
        tokens_in = int(getattr(usage, "prompt_tokens", 0) or 0)
        tokens_out = int(getattr(usage, "completion_tokens", 0) or 0)
        # A stream that broke off sent no usage, and some providers never do: four characters a token is the usual
        # estimate. Who sent no text charges nothing.
        if self.characters and not (tokens_in or tokens_out):
            tokens_in, tokens_out = self._asked // 4, self.characters // 4
        details = getattr(usage, "prompt_tokens_details", None)
        cached = min(tokens_in, int(getattr(details, "cached_tokens", 0) or 0))
        builtin = d.model == extract.MODEL
        if builtin:
            tokens_in = tokens_out = cached = 0
        # Dollars a million tokens are a thousand nano-dollars a token.
        price_cached = d.price_cached or d.price_in
        cost = (tokens_in - cached) * d.price_in + cached * price_cached + tokens_out * d.price_out
        return Attempt(
            feature=self._feature,
            tier=self._tier,
            provider=d.model.split("/", 1)[0],
            model_asked=d.name if builtin else f"{d.name} ({d.model})",
            model_served=self._model or (d.model if builtin else ""),
            outcome=outcome,
            ms_first=round(self._first * 1000) if self._first is not None else None,
            ms=round(self.seconds() * 1000),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            tokens_cached=cached,
            cost_nano=round(cost * 1000),
        )


def _client() -> httpx.AsyncClient:
    """LiteLLM's own client for providers that speak OpenAI's protocol, whose streams come joined."""
    tls = get_ssl_configuration()
    transport = AsyncHTTPHandler.create_async_transport(
        ssl_context=tls if isinstance(tls, ssl.SSLContext) else None,
        ssl_verify=tls if isinstance(tls, bool) else None,
    )
    return httpx.AsyncClient(
        transport=JoinedDeltas(transport or httpx.AsyncHTTPTransport(verify=tls)), follow_redirects=True
    )


def _classify(error: BaseException) -> tuple[str, float | None]:
    """The ledger's word for a failure, and how long the provider asks to be left alone, in seconds."""
    if isinstance(error, _CutError):
        return error.outcome, None
    if isinstance(error, TimeoutError | Timeout):
        return "timeout", None
    if isinstance(error, RateLimitError):
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        return "rate_limited", _seconds(headers.get("retry-after", ""))
    if isinstance(error, AuthenticationError):
        return "unauthorized", None
    if isinstance(error, ContextWindowExceededError):
        return "too_long", None
    if isinstance(error, APIConnectionError) or _unreachable(error):
        return "unreachable", None
    if isinstance(error, BadRequestError):
        return "bad_request", None
    status = getattr(error, "status_code", None)
    return f"http_{status}" if isinstance(status, int) else "broken", None


def _unreachable(error: BaseException | None) -> bool:
    """Whether it began with a connection; LiteLLM calls that an internal error of the server, with status 500."""
    while error is not None and not isinstance(error, httpx.TransportError):
        error = error.__cause__ or error.__context__
    return error is not None


def _seconds(retry_after: str) -> float | None:
    """A `Retry-After` header, seconds or a date, in seconds from now."""
    try:
        return float(retry_after)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(retry_after) - now()).total_seconds()
    except (ValueError, TypeError):
        return None
