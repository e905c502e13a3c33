from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from llama_index.core.llms import ChatMessage

from assistant.chat.models import Call, Models
from assistant.settings import Deployment, ModelSettings, Settings
from tests.fakes.openai import FakeOpenAI
from tests.fakes.serve import serving


class Provider(FakeOpenAI):
    """A fake provider and the settings that lead to it."""

    base: str = ""

    def settings(self, *modes: str, tier: str = "strong", **limits: float) -> Settings:
        deployments = [
            Deployment(
                name=f"{mode}-{i}",
                tier=tier,
                model=f"openai/{mode}",
                api_base=self.base,
                price_in=1.0,
                price_out=4.0,
                price_cached=0.1,
            )
            for i, mode in enumerate(modes)
        ]
        values = {"first_token_s": 0.8, "gap_s": 0.5, "turn_s": 8.0, **limits}
        return Settings(models=ModelSettings(deployments=deployments, **values))


async def warm(fake: Provider) -> None:
    """LiteLLM's first call in a process imports its client, which takes longer than the limits of these tests."""
    models = Models(fake.settings("ok", first_token_s=20.0, turn_s=20.0))
    call = Call("answer", time.monotonic() + 20)
    async for _ in models.stream("strong", [ChatMessage(role="user", content="warm")], call):
        pass
    fake.calls.clear()
    fake.requests.clear()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    fake = Provider()
    async with serving(fake.app) as base:
        fake.base = f"{base}/v1"
        await warm(fake)
        yield fake
