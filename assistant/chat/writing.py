"""An answer is written: what a model is handed, and what of its stream a person is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from assistant.chat import evidence, guard, recall
from assistant.chat.cite import CitationFilter
from assistant.chat.models import Broken, Call, Clipped
from assistant.chat.receipt import Record
from assistant.chat.rewrite import Search
from assistant.chat.services import Route, Services
from assistant.domain import Delta, Event, Restart
from assistant.index.retrieve import Found
from assistant.memory.threads import PastTurn
from assistant.texts import say


def messages(
    services: Services, search: Search, found: Found, context: recall.Context, route: Route, record: Record
) -> list[ChatMessage]:
    """Instructions, the talk so far, what was looked up, then the passages with the question."""
    # A model reads the thread before the question; what quotes needs the question before in the question itself.
    leaning = [text for text, _ in search.before[:1]] if route.quoting else []
    prompt = services.prompts["answer"]
    if not route.quoting:
        record.prompts.append(prompt.use)
    first, *rest = prompt.render(
        company=services.settings.company,
        language=record.language,
        passages=evidence.render(found.passages, found.dates, found.older),
        question="\n".join([*leaning, search.text]),
        notes=context.notes,
        earlier=context.earlier,
    )
    return [first, *_talk(context.window), *evidence.looked_up(record.looked_up), *rest]


def _talk(window: Sequence[PastTurn]) -> list[ChatMessage]:
    talk = []
    for past in window:
        talk.append(ChatMessage(role=MessageRole.USER, content=past.question))
        talk.append(ChatMessage(role=MessageRole.ASSISTANT, content=past.answer or "—"))
    return talk


async def stream(
    services: Services,
    given: Sequence[ChatMessage],
    route: Route,
    record: Record,
    shown: list[str],
    intro: str,
) -> AsyncIterator[Event]:
    """The answer behind `intro` as a person is shown it: citations that resolve, nothing of our instructions.

    What is yielded as text goes into `shown` too; a provider that breaks off voids it.
    """
    instructions, passages = given[0].content or "", len(record.passages)
    with record.step("generate") as notes:
        call = Call("answer", services.until(record))
        cited, own = CitationFilter(passages), guard.LeakFilter(instructions)
        pending, clipped = intro, ""
        try:
            async for event in services.models.stream(route.tier, given, call, only_quoting=route.quoting):
                if isinstance(event, Broken):
                    record.restarts += 1
                    cited, own = CitationFilter(passages), guard.LeakFilter(instructions)
                    shown.clear()
                    pending = intro
                    yield Restart(reason=say(record.language, "chat.restarted"))
                    continue
                if isinstance(event, Clipped):
                    record.said = True
                    clipped = f"\n\n*{say(record.language, 'chat.clipped')}*"
                    continue
                if text := pending + cited.feed(own.feed(event.text)):
                    pending = ""
                    record.shown()
                    shown.append(text)
                    yield Delta(text=text)
                    services.growing.keep(record.answer_id, shown)
            rest = cited.feed(own.close()) + cited.close() + clipped
            if own.leaked:
                notes.append("instructions taken out")
                if not "".join([*shown, rest]).strip():
                    rest = say(record.language, "chat.not_shown")
            if rest:
                shown.append(rest)
                yield Delta(text=rest)
        finally:
            if cited.in_code:
                # Stopped in the middle of it: what is said below must not read as code.
                shown.append(cited.close())
            record.attempts.extend(call.attempts)
