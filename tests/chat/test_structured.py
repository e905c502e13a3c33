"""Structured replies: mended where nothing is lost, never guessed."""

from __future__ import annotations

import time

import pytest
from llama_index.core.llms import ChatMessage
from pydantic import BaseModel

from assistant.chat.models import Call, Models
from assistant.chat.structured import IncompleteError, ask, read_object
from assistant.errors import ModelError
from tests.chat.conftest import Provider

WANTED = {"question": 'He said "ask HR"', "pages": [1, 2], "ok": True}


@pytest.mark.parametrize(
    "reply",
    [
        r'{"question": "He said \"ask HR\"", "pages": [1, 2], "ok": true}',
        'Sure:\n```json\n{"question": "He said \\"ask HR\\"", "pages": [1, 2], "ok": true}\n```\nAnything else?',
        r'<think>{maybe}</think> {"question": "He said \"ask HR\"", "pages": [1, 2], "ok": true}',
        r'{"question": "He said \"ask HR\"", "pages": [1, 2,], "ok": true,}',
        """{'question': 'He said "ask HR"', 'pages': [1, 2], 'ok': True}""",
        r'{question: "He said \"ask HR\"", pages: [1, 2], ok: true}',
        '{\n// a note\n"question": "He said \\"ask HR\\"", "pages": [1, 2], "ok": true}',
        r'{"question": "He said \"ask HR\"", "pages": [1, 2], "ok": true',
        '{"question": "He said \\"ask HR\\"", "pages": [1, 2], "ok": true}\n{"question": "other"}',
    ],
)
def test_common_faults_of_models_are_mended(reply: str) -> None:
    assert read_object(reply) == WANTED


@pytest.mark.parametrize("reply", ['{"question": "He sa', '{"question": "x", "pages":', '{"question": "x", "pa"'])
def test_a_reply_that_breaks_off_inside_a_value_is_not_guessed(reply: str) -> None:
    with pytest.raises(IncompleteError):
        read_object(reply)


@pytest.mark.parametrize(
    "reply",
    ["", "I cannot help with that.", "[1, 2]", "[" * 5000, '{"a":' * 5000, "<html>502</html>", '{"a": NaN}', "{}"],
)
def test_what_is_no_object_is_refused(reply: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_object(reply)


class Reply(BaseModel):
    question: str


async def test_a_reply_that_does_not_fit_is_asked_for_once_more_and_then_fails_with_a_type(provider: Provider) -> None:
    models = Models(provider.settings("ok", tier="small"))
    call = Call("rewrite", time.monotonic() + 5)
    provider.reply = '{"other": 1}'
    with pytest.raises(ModelError) as caught:
        await ask(models, "small", [ChatMessage(role="user", content="x")], Reply, call)
    assert caught.value.outcome == "malformed"
    assert provider.calls["ok"] == 2
    assert "could not be used" in provider.requests[-1]["messages"][-1]["content"]
    provider.reply = '{"question": "whole"}'
    assert (await ask(models, "small", [ChatMessage(role="user", content="x")], Reply, call)).question == "whole"
