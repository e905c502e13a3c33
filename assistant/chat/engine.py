"""The chat engine: one turn, step by step.

`open → guard → recall → rewrite → cache → retrieve → decide → route → generate → verify → close`: `turn` holds the
first steps and the last, `_reply` the list of those between. How a question is searched is in `searching.py`, how its
answer is written in `writing.py`, what we say around it in `remarks.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.chat_engine.types import AgentChatResponse, BaseChatEngine, StreamingAgentChatResponse

from assistant.chat import (
    cache,
    clarify,
    conflicts,
    follow,
    guard,
    lookups,
    recall,
    remarks,
    rewrite,
    route,
    summary,
    tools,
    verify,
    writing,
)
from assistant.chat.cite import cited_in, without_citations
from assistant.chat.models import Call
from assistant.chat.receipt import Outcome, Record
from assistant.chat.searching import Searching
from assistant.chat.services import Route, Services
from assistant.domain import (
    ADMINS,
    EVERYONE,
    Answer,
    Asker,
    Choice,
    Decision,
    Delta,
    Event,
    Final,
    Level,
    Restart,
    Stage,
    ToolUse,
    quoted,
)
from assistant.errors import AssistantError, ModelError, ReleaseError
from assistant.index import access, disputed, glossary, joining
from assistant.index.language import language_of
from assistant.index.retrieve import Found, Today
from assistant.index.scoring import leaning
from assistant.index.spelling import Spelled
from assistant.memory import threads, work
from assistant.settings import BUILT_IN
from assistant.texts import LANGUAGES, say

# Documents that are named where none answers.
NEAREST = 3


@dataclass
class Turn:
    """One turn under way: what its steps hand on to each other."""

    record: Record
    question_id: str
    # The question that this one is a new version of.
    beside: str
    # The answer so far, piece by piece.
    shown: list[str] = field(default_factory=list)
    stored: bool = False
    # Whether the question stood there already: who asks once more wants no answer that was given before.
    asked_before: bool = False
    # The question being read word by word, from its first moment on.
    reading: asyncio.Task[Any] | None = None
    # The company's own words, and the question before what they mean was put behind them.
    terms: glossary.Terms = ()
    as_said: str = ""

    @property
    def text(self) -> str:
        return "".join(self.shown)

    def say(self, text: str) -> Delta:
        """More of the answer."""
        self.shown.append(text)
        return Delta(text=text)


class KnowledgeChatEngine(BaseChatEngine):  # type: ignore[misc]
    """Answers one person in one thread out of the passages that this person may read."""

    def __init__(self, services: Services, asker: Asker, thread_id: str, language: str = "en") -> None:
        self._s = services
        self._asker = asker
        self._thread_id = thread_id
        self._language = language
        self._history: list[ChatMessage] = []
        # What a cancelled turn is stored as.
        self.cancelled_as: Outcome = "stopped"
        # The stored answer of the last turn that is over.
        self.answer: Answer | None = None
        self._closing: asyncio.Task[Answer] | None = None

    async def turn(self, text: str, question_id: str, answer_id: str, beside: str = "") -> AsyncIterator[Event]:
        """One question to its stored answer. The last event is `Final`, whatever happens after the question is kept.

        A question `beside` another is a new version of it; one that is stored already is answered once more.
        Raises `AssistantError` only before that: the thread is somebody else's, or the database is not there.
        """
        most = self._s.settings.chat.question_chars
        record = Record(answer_id, self._thread_id, asked=text[:most], language=self._language)
        record.segment = next(iter(sorted(self._asker.groups - {EVERYONE, ADMINS})), EVERYONE)
        turn = Turn(record, question_id, beside)
        self._closing = self.answer = None
        outcome: Outcome = "interrupted"
        if len(text) <= most:
            turn.reading = self._s.knowledge.read_ahead(text.strip())
        try:
            with record.step("open"):
                await self._open(text, turn)
            question = self._guard(text, record)
            await self._limit()
            async for event in self._reply(question, turn):
                yield event
            outcome = "complete"
        except (asyncio.CancelledError, GeneratorExit):
            # The question may have been stored when the stop came.
            outcome, turn.stored = self.cancelled_as, True
            raise
        except ModelError:
            outcome = "failed"
            turn.say(("\n\n" if turn.shown else "") + say(self._language, "chat.failed"))
        except AssistantError as error:
            if not turn.stored:
                raise
            outcome = "complete"
            record.decision = Decision(level=Level.DECLINED, reason=type(error).__name__)
            turn.say(str(error))
        finally:
            # A stop cancels this task; what was shown must be kept all the same.
            # Where the question could not be stored there is nothing to close.
            if turn.stored:
                self._closing = asyncio.create_task(self._close(turn, outcome))
                await asyncio.shield(self._closing)
        assert self.answer is not None
        yield Final(answer=self.answer)

    async def ended(self) -> Answer | None:
        """The stored answer of a cancelled turn, be it while that was being stored; None where it never began."""
        return await self._closing if self._closing is not None else None

    async def _reply(self, question: str, turn: Turn) -> AsyncIterator[Event]:
        """From the question, now stored and admitted, to what is said to it."""
        record = turn.record
        if (reply := await self._without_search(question, record)) is not None:
            record.decision = Decision(level=Level.ANSWERED, score=1, reason="needs no search")
            yield turn.say(reply)
            return
        looked = await self._look_up(question, turn)
        if looked.later is not None or (looked.results and looked.by == "rules"):
            yield turn.say(self._told(looked, record))
            await self._verify(turn.text, record)
            return
        question = await self._read(question, turn)
        context, today = await asyncio.gather(self._recall(turn), self._look())
        way = self._s.route(context.spent, self._language)
        yield Stage(name="search")
        taken = clarify.taken(question, context.window[-1].choices) if context.window else None
        search = await self._rewrite(question, await self._window(context, turn), taken, record)
        # What a follow-up leaves out, its rewriting says.
        guard.permit(search.text, self._asker.groups, self._s.settings.policies, self._language)
        searching = Searching(
            self._s, self._asker, record, turn.reading, today, context.chosen, context.only_in, taken, way.quoting,
            turn.as_said if search.text == question else "",
        )  # fmt: skip
        in_project = context.chosen or context.only_in
        leaning = turn.beside or search.before or context.window or context.notes or context.earlier or in_project
        scope = None if leaning or looked.results or turn.asked_before else self._scope(today)
        if scope is not None and (given := await self._given_before(search.text, scope, searching)) is not None:
            yield turn.say(given)
            return
        search, found = await searching.asked(search)
        if looked.results:
            found = self._joined(looked, found, record)
        if record.decision.level is Level.DECLINED:
            record.nearest = found.nearest[:NEAREST]
            company = self._s.settings.company
            mostly = await self._mostly_in(question)
            declined = remarks.declined(record.nearest, context.only_in, self._language, company, mostly)
            yield turn.say(remarks.before(record.remarks) + declined)
            return
        if question_back := await self._clarify(search, found, context.window, record):
            yield turn.say(question_back)
            return
        yield Stage(name="write")
        async for event in self._write(search, found, context, way, turn):
            yield event
        yield Stage(name="check")
        await self._verify(turn.text, record)
        if warnings := await self._warnings(turn.text, found, record):
            yield turn.say(remarks.behind(warnings))
        if scope is not None:
            await self._keep(scope, search.text, turn.text, searching)

    async def _mostly_in(self, question: str) -> str:
        """The language of most documents where a question is in another one of ours, of which the built-in vectors know
        too little: then nothing found does not mean that nothing is there."""
        if self._s.settings.index.embedder != BUILT_IN:
            return ""
        mostly = await self._s.db.reading(lambda session: access.main_language(session, self._asker))
        asked = language_of(question) or self._language
        return mostly if mostly in LANGUAGES and mostly != asked else ""

    async def _open(self, text: str, turn: Turn) -> None:
        turn.asked_before = not await threads.open_turn(
            self._s.db,
            self._asker,
            self._thread_id,
            turn.question_id,
            text,
            beside=turn.beside,
            answer_id=turn.record.answer_id,
            owner=self._s.owner,
        )
        turn.stored = True

    def _guard(self, text: str, record: Record) -> str:
        with record.step("guard"):
            question = guard.clean(text, self._s.settings.chat.question_chars, self._language)
            self._s.rate.take(self._asker.person_id, self._language)
            guard.permit(question, self._asker.groups, self._s.settings.policies, self._language)
            return question

    async def _limit(self) -> None:
        """What the person asks of other processes counts as well. SQL is asked only about who asks fast here."""
        if self._s.rate.fast(self._asker.person_id):
            count = await threads.asked_within(self._s.db, self._asker, 60)
            self._s.rate.check(count, self._language)

    async def _without_search(self, question: str, record: Record) -> str | None:
        """The reply to what is no question for the documents: something to remember, or small talk."""
        with record.step("small talk") as notes:
            if (noted := await self._noted(question)) is not None:
                return noted
            if not self._s.settings.chat.steps.small_talk:
                return None
            said = route.talk(question, self._language)
            notes.append(said.kind if said else "needs a search")
            return route.reply(said, self._s.settings.company) if said else None

    async def _read(self, question: str, turn: Turn) -> str:
        """The question as it is searched, which the answer then says: misspelt words as they were meant, and behind the
        company's own words what the documents call it."""
        record, steps, text = turn.record, self._s.settings.chat.steps, question
        turn.terms = await glossary.in_use(self._s.db, self._s.settings)
        if steps.spelling:
            with record.step("spelling") as notes:
                spelled = await self._spelled(text, turn.terms)
                notes.append(f"{len(spelled.changed)} read otherwise")
            if spelled.changed:
                text = spelled.text
                record.remarks.append(remarks.spelled(spelled.changed, self._language))
        if steps.glossary:
            with record.step("glossary") as notes:
                read = glossary.read(text, turn.terms)
                notes.append(f"{len(read.terms)} of {len(turn.terms)} terms")
            if read.terms:
                turn.as_said, text = text, read.text
                record.remarks.extend(remarks.meant(read.terms, self._language))
        if text != question:
            turn.reading = self._s.knowledge.read_ahead(text)
            record.said = True
        return text

    async def _spelled(self, question: str, terms: glossary.Terms) -> Spelled:
        if not self._s.settings.chat.steps.spelling:
            return Spelled(question)
        language, right = language_of(question) or self._language, glossary.words_said(terms)
        try:
            return await self._s.knowledge.spelled(self._asker, question, language, right)
        except ReleaseError:
            return Spelled(question)  # the search will say that there is no index

    async def _window(self, context: recall.Context, turn: Turn) -> Sequence[threads.PastTurn]:
        """The turns before, the last question as it was read: a follow-up is searched with it."""
        if not context.window:
            return context.window
        *earlier, last = context.window
        spelled = await self._spelled(last.question, turn.terms)
        return [*earlier, replace(last, question=glossary.read(spelled.text, turn.terms).text)]

    async def _noted(self, question: str) -> str | None:
        """The reply to something to remember, which is kept. A program has nothing to tell of a person."""
        note = None if self._asker.program else recall.wanted(question)
        return await recall.keep(self._s.db, self._asker, note, self._language) if note is not None else None

    def _desk(self) -> tools.Desk:
        s = self._s
        return tools.Desk(s.db, s.knowledge, self._asker, self._language, s.models, s.prompts)

    async def _look_up(self, question: str, turn: Turn) -> tools.LookedUp:
        """What the person's own words ask to be looked up; no document has been read yet that could ask for more."""
        hinted, leans = lookups.hinted(question), follow.leans(question)
        if not self._s.settings.chat.tools or not (hinted or leans):
            return tools.LookedUp()
        record = turn.record
        with record.step("tools") as notes:
            left = follow.before(await self._turns_before(turn.question_id))
            desk, call = self._desk(), Call("tools", self._s.until(record))
            asks_model = hinted or bool(left.tool)
            quoting = self._s.models.calls_tools() and self._s.route(await self._spent(), self._language).quoting
            asked = tools.Asked(question, left.questions, left.documents)
            found = await tools.look_up(
                desk,
                lookups.TOOLS,
                asked,
                lambda: follow.by_rules(question, left),
                None if quoting or not asks_model else call,
            )
            record.attempts.extend([*call.attempts, *desk.attempts])
            if call.attempts:
                record.prompts.append(self._s.prompts["tools"].use)
            if found.later is not None and not await self._begin_work(found.later, record):
                found = await tools.at_once(desk, lookups.TOOLS, found)
            record.tools.extend(found.uses)
            notes.append(", ".join(f"{u.name}: {u.outcome}" for u in found.uses) or "none")
        return found

    async def _turns_before(self, question_id: str) -> list[threads.PastTurn]:
        past = await self._s.db.reading(
            lambda session: threads.past(session, self._asker, self._thread_id, follow.QUESTIONS, before=question_id)
        )
        return past.window

    async def _spent(self) -> int:
        return await self._s.db.reading(lambda session: threads.spent_today(session, self._asker.person_id))

    async def _begin_work(self, chosen: tools.Chosen, record: Record) -> bool:
        """Leave a long call to the jobs. False where it has to be done at once."""
        begun = await work.begin(
            self._s.db,
            self._asker,
            self._thread_id,
            record.answer_id,
            chosen.name,
            chosen.arguments,
            chosen.by,
            self._language,
        )
        if begun:
            arguments = tools.shown(chosen.arguments if chosen.said is None else chosen.said)
            record.tools.append(ToolUse(name=chosen.name, arguments=arguments, by=chosen.by, outcome="started"))
        return begun

    def _told(self, looked: tools.LookedUp, record: Record) -> str:
        """What was looked up, or that it takes a while."""
        record.decision = Decision(level=Level.ANSWERED, score=1, reason="looked up")
        result = looked.results[0] if looked.later is None else tools.Result(say(self._language, "chat.work_begun"))
        record.release, record.passages = result.release, result.passages
        return result.text

    @staticmethod
    def _joined(looked: tools.LookedUp, found: Found, record: Record) -> Found:
        """What a model had looked up, before what the search found."""
        known = {p.id: p for r in looked.results for p in r.passages}
        record.passages = tuple(joining.apart([*known.values(), *found.passages]))
        record.decision = record.decision.model_copy(update={"level": Level.ANSWERED, "reason": "looked up"})
        record.looked_up = "\n\n".join(without_citations(r.text) for r in looked.results)
        return replace(found, passages=record.passages)

    async def _recall(self, turn: Turn) -> recall.Context:
        with turn.record.step("recall") as notes:
            context = await recall.gather(
                self._s.db, self._asker, self._thread_id, turn.question_id, self._s.settings, self._s.models
            )
            notes.extend(context.said)
            return context

    async def _look(self) -> Today | None:
        """What the question is searched in; without an index the search will say so."""
        try:
            return await self._s.knowledge.today(self._asker)
        except ReleaseError:
            return None

    async def _rewrite(
        self, question: str, window: Sequence[threads.PastTurn], taken: Choice | None, record: Record
    ) -> rewrite.Search:
        """The question as it is searched. One of the choices that were offered stands alone."""
        weight = self._s.settings.chat.weight_before
        with record.step("rewrite") as notes, self._s.job("rewrite", rewrite.LIMIT_S, record) as (prompt, call):
            if taken is not None:
                search = rewrite.Search(question, note="one of the choices offered")
            else:
                search = await rewrite.standalone(
                    question, window, models=self._s.models, prompt=prompt, call=call, weight=weight
                )
            notes.append(search.note)
        record.searched = search.text
        record.fused_with = tuple(text for text, _ in search.before)
        return search

    def _scope(self, today: Today | None) -> cache.Scope | None:
        """Where an answer may be kept, and one that was be found."""
        if today is None or not self._s.cache.on:
            return None
        return cache.scope(today, self._s.settings, self._s.prompts["answer"], self._language)

    async def _given_before(self, question: str, scope: cache.Scope, searching: Searching) -> str | None:
        """An answer to this question that was given before, if all it rests on is still the asker's."""
        record = searching.record
        with record.step("cache") as notes:
            try:
                vector = await searching.vector(question)
            except ModelError:
                record.cache = "off"
                notes.append("the embedding model did not answer")
                return None
            entry = self._s.cache.find(scope, question, vector)
            if entry is not None:
                documents = {p.document_id for p in entry.passages}
                if documents != await self._s.knowledge.readable(self._asker, documents):
                    self._s.cache.drop(entry)
                    entry = None
            record.cache = "miss" if entry is None else "hit"
            notes.append(record.cache)
        if entry is None:
            return None
        intro = remarks.before([*record.remarks, remarks.given_before(entry, self._language)])
        record.release, record.passages, record.decision = scope.release, entry.passages, entry.decision
        record.quoted_before = entry.quoted
        record.verification = tuple(
            c.model_copy(update={"start": c.start + len(intro), "end": c.end + len(intro)}) for c in entry.verification
        )
        return intro + entry.text

    async def _keep(self, scope: cache.Scope, question: str, text: str, searching: Searching) -> None:
        record = searching.record
        if record.release != scope.release or not cache.sound(record):
            return
        try:
            vector = await searching.vector(question)
        except ModelError:
            return
        passages = tuple(record.passages)
        self._s.cache.keep(
            cache.Entry(
                scope,
                question,
                vector,
                text,
                passages,
                record.decision,
                record.verification,
                quoted(record.attempts),
                time.monotonic(),
            )
        )

    async def _clarify(
        self, search: rewrite.Search, found: Found, window: Sequence[threads.PastTurn], record: Record
    ) -> str:
        """A question back where the asked one may mean several things, else nothing. Never twice in a row."""
        if not self._s.settings.chat.steps.clarify or any(t.asked_back for t in window[-1:]):
            return ""
        with record.step("clarify") as notes:
            said = [text for text, _ in search.before] or [f"{t.question} {t.answer}" for t in window[-1:]]
            meant: Sequence[clarify.Meant] = clarify.things(
                search.text, said, found.passages, found.fit, found.older.keys()
            )
            if meant:
                with self._s.job("clarify", clarify.LIMIT_S, record) as (prompt, call):
                    meant = await clarify.confirmed(search.text, meant, models=self._s.models, prompt=prompt, call=call)
            notes.append(f"{len(meant)} things" if meant else "clear")
        if not meant:
            return ""
        record.choices = clarify.choices(search.text, meant)
        record.decision = record.decision.model_copy(
            update={"level": Level.ASKED, "reason": "it may mean several things"}
        )
        return remarks.which(meant, self._language)

    async def _write(
        self, search: rewrite.Search, found: Found, context: recall.Context, way: Route, turn: Turn
    ) -> AsyncIterator[Event]:
        record = turn.record
        with record.step("route") as notes:
            notes.append("built-in quoting" if way.quoting else f"{way.tier} tier")
        given = writing.messages(self._s, search, found, context, way, record)
        record.said = record.said or bool(way.why)
        # A model says so itself.
        known = glossary.words_said(turn.terms) | frozenset(self._s.settings.company.casefold().split())
        unnamed = remarks.unnamed(search.text, found, self._language, known) if way.quoting else []
        record.said = record.said or bool(unnamed)
        before = [*record.remarks, *([way.why] if way.why else []), *unnamed]
        if record.decision.level is Level.WEAK:
            before.append(say(self._language, "chat.weak"))
        async for event in writing.stream(self._s, given, way, record, turn.shown, remarks.before(before)):
            yield event

    async def _verify(self, text: str, record: Record) -> None:
        passages = dict(enumerate(record.passages, 1))
        with record.step("verify") as notes:
            if self._s.settings.chat.judge and self._s.models.has(self._s.prompts["judge"].tier):
                with self._s.job("judge", verify.LIMIT_S, record) as (prompt, call):
                    record.verification, decided = await verify.judged(
                        text, passages, self._language, models=self._s.models, prompt=prompt, call=call
                    )
                if call.attempts:
                    notes.append(f"{decided} judged by a model")
            else:
                record.verification = verify.check(text, passages, self._language)
            notes.append(f"{len(record.verification)} statements")

    async def _warnings(self, text: str, found: Found, record: Record) -> list[str]:
        """What a reader must know of the answer's passages: others contradict them, or their time is over."""
        against: list[str] = []
        if self._s.settings.chat.steps.contradictions:
            with record.step("contradictions") as notes:
                cited = set(cited_in(text))
                read = text, found.passages, cited, found.dates, found.expired, found.fit
                if told := conflicts.found(*read):
                    table = (await self._s.knowledge.release()).table
                    shut = await disputed.dismissed(self._s.db, table, {p.document_id for p in found.passages})
                    told = conflicts.found(*read, shut) if shut else told
                notes.append(f"{len(told)} found")
            against = remarks.contradicted(told, self._language)
        expired = remarks.expired(text, found, self._language)
        record.said = record.said or bool(expired)
        return [*against, *expired]

    async def _close(self, turn: Turn, outcome: Outcome) -> Answer:
        record = turn.record
        self._s.growing.drop(record.answer_id)
        if turn.text:
            record.shown()
        answer = record.answer(turn.text, outcome)
        await self._store(answer, record)
        self.answer = answer
        return answer

    async def _store(self, answer: Answer, record: Record) -> None:
        await threads.close_turn(self._s.db, self._asker, answer, record.attempts)

    async def afterwards(self) -> None:
        """While the person reads: what the next question would wait for, and the summary of a long thread."""
        if self.answer is not None:
            if self.answer.text and not self._s.models.has(self._s.prompts["rewrite"].tier):
                await asyncio.wait([self._s.knowledge.read_ahead(leaning(self.answer.text))])
            await summary.keep_up(
                self._s.db,
                self._asker,
                self.answer.receipt,
                self._s.settings,
                self._s.models,
                self._s.prompts["summary"],
            )

    # What LlamaIndex asks of a chat engine, over the same turn.

    async def achat(
        self, message: str, chat_history: list[ChatMessage] | None = None, **kwargs: Any
    ) -> AgentChatResponse:
        final = [e async for e in self.turn(message, str(uuid4()), str(uuid4()))][-1]
        assert isinstance(final, Final)
        self._remember(message, final.answer.text)
        return AgentChatResponse(response=final.answer.text, metadata={"receipt": final.answer.receipt.model_dump()})

    async def astream_chat(
        self, message: str, chat_history: list[ChatMessage] | None = None, **kwargs: Any
    ) -> StreamingAgentChatResponse:
        """The answer's text as it comes. A token stream cannot take back: a restart reads as a line of its own."""
        response = StreamingAgentChatResponse()
        response._ensure_async_setup()

        async def pump() -> None:
            try:
                async for event in self.turn(message, str(uuid4()), str(uuid4())):
                    if isinstance(event, Delta):
                        response.aput_in_queue(event.text)
                    elif isinstance(event, Restart):
                        response.aput_in_queue(f"\n\n{event.reason}\n\n")
                    elif isinstance(event, Final):
                        response.response = event.answer.text
                        self._remember(message, event.answer.text)
            except Exception as error:
                response.exception = error
                raise
            finally:
                # Whoever reads the stream waits for this.
                response.is_done = True
                response.aput_in_queue("")

        response.awrite_response_to_history_task = asyncio.create_task(pump())
        return response

    def chat(self, message: str, chat_history: list[ChatMessage] | None = None, **kwargs: Any) -> AgentChatResponse:
        return asyncio.run(self.achat(message))

    def stream_chat(
        self, message: str, chat_history: list[ChatMessage] | None = None, **kwargs: Any
    ) -> StreamingAgentChatResponse:
        raise NotImplementedError("a synchronous stream would block the event loop: use astream_chat")

    def _remember(self, message: str, reply: str) -> None:
        self._history.append(ChatMessage(role=MessageRole.USER, content=message))
        self._history.append(ChatMessage(role=MessageRole.ASSISTANT, content=reply))

    def reset(self) -> None:
        self._history.clear()

    @property
    def chat_history(self) -> list[ChatMessage]:
        return list(self._history)
