"""The chat engine: one turn, step by step.

`open → guard → recall → rewrite → cache → retrieve → decide → route → generate → verify → close`. Every step is a
method that can be read alone; `turn` is their list.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.chat_engine.types import AgentChatResponse, BaseChatEngine, StreamingAgentChatResponse

from assistant.chat import (
    cache,
    chosen,
    clarify,
    decide,
    decompose,
    evidence,
    follow,
    guard,
    lookups,
    recall,
    rewrite,
    route,
    summary,
    tools,
    verify,
)
from assistant.chat import conflicts as conflict
from assistant.chat.cite import CitationFilter, cited_in, without_citations
from assistant.chat.growing import Growing
from assistant.chat.models import Broken, Call, Clipped, Models
from assistant.chat.prompts import Prompt
from assistant.chat.receipt import Record
from assistant.database.engine import Database
from assistant.domain import (
    NANO,
    Answer,
    Asker,
    Choice,
    Citation,
    Decision,
    Delta,
    Event,
    Final,
    Level,
    Nearest,
    Passage,
    Restart,
    Stage,
    ToolUse,
    Verdict,
)
from assistant.errors import AssistantError, ModelError, ReleaseError
from assistant.index import joining
from assistant.index.filters import Filter
from assistant.index.retrieve import Found, Knowledge, ThreadQuery, Today
from assistant.memory import threads, work
from assistant.settings import Settings
from assistant.texts import say

Outcome = Literal["complete", "stopped", "interrupted", "failed"]


@dataclass(frozen=True)
class Services:
    """What every turn uses; built once."""

    settings: Settings
    db: Database
    knowledge: Knowledge
    models: Models
    prompts: dict[str, Prompt]
    rate: guard.RateLimit
    # Names this process in the rows of answers that it streams.
    owner: str
    # The installation's own.
    calibration: decide.Calibration | None = None
    cache: cache.AnswerCache = field(default_factory=lambda: cache.AnswerCache(0))

    @cached_property
    def growing(self) -> Growing:
        """Keeps what is shown of answers while they are written."""
        return Growing(self.db)


def citations(text: str, passages: Sequence[Passage]) -> tuple[list[int], tuple[Citation, ...]]:
    """The numbers that an answer cites, and what each stands for."""
    numbers = [n for n in cited_in(text) if 1 <= n <= len(passages)]
    return numbers, tuple(
        Citation(
            n=n,
            document=p.document,
            title=p.title,
            place=p.place.label(),
            quote=p.text,
            passage=p.id,
            document_id=p.document_id,
        )
        for n in numbers
        for p in [passages[n - 1]]
    )


class KnowledgeChatEngine(BaseChatEngine):  # type: ignore[misc]
    """Answers one person in one thread out of the passages that this person may read."""

    def __init__(self, services: Services, asker: Asker, thread_id: str, language: str = "en") -> None:
        self._s = services
        self._asker = asker
        self._thread_id = thread_id
        self._language = language
        self._history: list[ChatMessage] = []
        # What a cancelled turn is stored as, and the stored answer once it is over.
        self.cancelled_as: Outcome = "stopped"
        self.answer: Answer | None = None
        self._stored = False
        # Whether the question stood there already: who asks once more wants no answer that was given before.
        self._asked_before = False
        self._found: Found | None = None
        # The documents that the talk's project chose, and its name where no others are searched.
        self._chosen: frozenset[int] = frozenset()
        self._only_in = ""
        self._today: Today | None = None
        # What of a question back the person chose.
        self._taken: Choice | None = None
        # Whether only quoting is left, and what a model split questions into.
        self._quoting = False
        self._parts: dict[str, Sequence[str]] = {}
        # The question being read word by word, from its first moment on.
        self._reading: asyncio.Task[Any] | None = None

    async def turn(self, text: str, question_id: str, answer_id: str, beside: str = "") -> AsyncIterator[Event]:
        """One question to its stored answer. The last event is `Final`, whatever happens after the question is kept.

        A question `beside` another is a new version of it; one that is stored already is answered once more.
        Raises `AssistantError` only before that: the thread is somebody else's, or the database is not there.
        """
        record = Record(answer_id, self._thread_id, asked=text[: self._s.settings.chat.question_chars])
        record.language = self._language
        record.segment = next(iter(sorted(self._asker.groups - {"everyone", "admins"})), "everyone")
        shown: list[str] = []
        outcome: Outcome = "interrupted"
        if len(text) <= self._s.settings.chat.question_chars:
            self._reading = self._s.knowledge.read_ahead(text.strip())
        try:
            with record.step("open"):
                await self._open(text, question_id, answer_id, beside)
            question = self._guard(text, record)
            await self._limit()
            async for event in self._reply(question, question_id, beside, record, shown):
                yield event
            outcome = "complete"
        except (asyncio.CancelledError, GeneratorExit):
            outcome, self._stored = self.cancelled_as, True
            raise
        except ModelError:
            outcome = "failed"
            shown.append(("\n\n" if shown else "") + say(self._language, "chat.failed"))
        except AssistantError as error:
            if not self._stored:
                raise
            outcome = "complete"
            record.decision = Decision(level=Level.DECLINED, reason=type(error).__name__)
            shown.append(str(error))
        finally:
            # A stop cancels this task; what was shown must be kept all the same.
            # Where the question could not be stored there is nothing to close.
            if self._stored:
                self.answer = await asyncio.shield(self._close("".join(shown), self._found, record, outcome))
        yield Final(answer=self.answer)

    async def _reply(
        self, question: str, question_id: str, beside: str, record: Record, shown: list[str]
    ) -> AsyncIterator[Event]:
        """From the question, now stored and admitted, to what is said to it."""
        if (reply := await self._without_search(question, record)) is not None:
            record.decision = Decision(level=Level.ANSWERED, score=1, reason="needs no search")
            shown.append(reply)
            yield Delta(text=reply)
            return
        looked = await self._look_up(question, question_id, record)
        if looked.later is not None or (looked.results and looked.by == "rules"):
            self._found = found = self._told(looked, record, shown)
            yield Delta(text=shown[0])
            await self._verify(shown[0], found, record)
            return
        context, self._today = await asyncio.gather(self._recall(question_id, record), self._look())
        self._quoting = self._route(context.spent)[1]
        self._chosen, self._only_in = context.chosen, context.only_in
        yield Stage(name="search")
        search = await self._rewrite(question, context.window, record)
        # What a follow-up leaves out, its rewriting says.
        guard.permit(search.text, self._asker.groups, self._s.settings.policies, self._language)
        in_project = context.chosen or context.only_in
        leaning = beside or search.before or context.window or context.notes or context.earlier or in_project
        asked_alone = not (leaning or looked.results or self._asked_before)
        scope, given = await self._given_before(search.text, record) if asked_alone else (None, None)
        if given is not None:
            shown.append(self._again(given, record))
            yield Delta(text=shown[0])
            return
        self._found = found = await self._evidence(search, record)
        if looked.results:
            self._found = found = self._joined(looked, found, record)
        if record.decision.level is Level.DECLINED:
            shown.append("".join(f"*{r}*\n\n" for r in record.remarks) + self._decline(found))
            yield Delta(text=shown[0])
            return
        if question_back := await self._clarify(search, found, context, record):
            shown.append(question_back)
            yield Delta(text=question_back)
            return
        yield Stage(name="write")
        async for event in self._generate(search, found, context, record, shown):
            yield event
        yield Stage(name="check")
        await self._verify("".join(shown), found, record)
        conflicts = self._conflicts("".join(shown), found, record)
        if warning := conflicts + self._expired("".join(shown), found, record):
            shown.append(warning)
            yield Delta(text=warning)
        if scope is not None:
            await self._keep(scope, search.text, "".join(shown), record)

    async def _open(self, text: str, question_id: str, answer_id: str, beside: str) -> None:
        self._stored = False
        self._asked_before = not await threads.open_turn(
            self._s.db,
            self._asker,
            self._thread_id,
            question_id,
            text,
            beside=beside,
            answer_id=answer_id,
            owner=self._s.owner,
        )
        self._stored = True

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

    async def _noted(self, question: str) -> str | None:
        """The reply to something to remember, which is kept. A program has nothing to tell of a person."""
        note = None if self._asker.program else recall.wanted(question)
        return await recall.keep(self._s.db, self._asker, note, self._language) if note is not None else None

    def _desk(self) -> tools.Desk:
        s = self._s
        return tools.Desk(s.db, s.knowledge, self._asker, self._language, s.models, s.prompts)

    async def _look_up(self, question: str, question_id: str, record: Record) -> tools.LookedUp:
        """What the person's own words ask to be looked up; no document has been read yet that could ask for more."""
        hinted, leans = lookups.hinted(question), follow.leans(question)
        if not self._s.settings.chat.tools or not (hinted or leans):
            return tools.LookedUp()
        with record.step("tools") as notes:
            left = follow.before(await self._turns_before(question_id))
            desk, call = self._desk(), Call("tools", self._until(record))
            asks_model = hinted or bool(left.tool)
            quoting = self._s.models.calls_tools() and self._route(await self._spent())[1]
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

    def _told(self, looked: tools.LookedUp, record: Record, shown: list[str]) -> Found:
        """Say what was looked up, or that it takes a while. Returns what that rests on."""
        record.decision = Decision(level=Level.ANSWERED, score=1, reason="looked up")
        result = looked.results[0] if looked.later is None else tools.Result(say(self._language, "chat.work_begun"))
        record.release, record.passages = result.release, result.passages
        shown.append(result.text)
        return Found(result.passages, result.release or 0)

    @staticmethod
    def _joined(looked: tools.LookedUp, found: Found, record: Record) -> Found:
        """What a model had looked up, before what the search found."""
        known = {p.id: p for r in looked.results for p in r.passages}
        record.passages = tuple(joining.apart([*known.values(), *found.passages]))
        record.decision = record.decision.model_copy(update={"level": Level.ANSWERED, "reason": "looked up"})
        record.looked_up = "\n\n".join(without_citations(r.text) for r in looked.results)
        return replace(found, passages=tuple(record.passages))

    async def _recall(self, question_id: str, record: Record) -> recall.Context:
        with record.step("recall") as notes:
            context = await recall.gather(
                self._s.db, self._asker, self._thread_id, question_id, self._s.settings, self._s.models
            )
            notes.extend(context.said)
            return context

    async def _look(self) -> Today | None:
        """What the question is searched in; without an index the search will say so."""
        try:
            return await self._s.knowledge.today(self._asker)
        except ReleaseError:
            return None

    async def _rewrite(self, question: str, window: Sequence[threads.PastTurn], record: Record) -> rewrite.Search:
        self._taken = clarify.taken(question, window[-1].choices) if window else None
        with record.step("rewrite") as notes:
            if self._taken is not None:
                search = rewrite.Search(question, note="one of the choices offered")
            else:
                search = await rewrite.standalone(
                    question,
                    window,
                    models=self._s.models,
                    prompt=self._s.prompts["rewrite"],
                    weight=self._s.settings.chat.weight_before,
                )
            notes.append(search.note)
        record.searched = search.text
        record.fused_with = tuple(text for text, _ in search.before)
        record.attempts.extend(search.attempts)
        if search.prompt:
            record.prompts.append(search.prompt)
        return search

    async def _given_before(self, question: str, record: Record) -> tuple[cache.Scope | None, cache.Entry | None]:
        """Where an answer to this question may be kept, and one that was, if all it rests on is still the asker's."""
        if not self._s.cache.on or self._today is None or (release := self._today.opened.row.id) is None:
            return None, None
        with record.step("cache") as notes:
            chat, prompt = self._s.settings.chat, self._s.prompts["answer"]
            models = ",".join(f"{d.name}={d.model}" for d in self._s.settings.models.deployments)
            way = f"{prompt.name} {prompt.version}|{models}|{self._language}|{chat.passages}|{chat.judge}"
            scope = cache.Scope(self._today.rules, release, way)
            await self._read()
            try:
                vector = await self._s.knowledge.vector(question)
            except ModelError:
                record.cache = "off"
                notes.append("the embedding model did not answer")
                return None, None
            entry = self._s.cache.find(scope, question, vector)
            if entry is not None:
                documents = {p.document_id for p in entry.passages}
                if documents != await self._s.knowledge.readable(self._asker, documents):
                    self._s.cache.drop(entry)
                    entry = None
            record.cache = "miss" if entry is None else "hit"
            notes.append(record.cache)
        return scope, entry

    def _again(self, entry: cache.Entry, record: Record) -> str:
        """An answer given before, with how long ago that was."""
        minutes = entry.minutes()
        key = {0: "chat.given_just_now", 1: "chat.given_minute_ago"}.get(minutes, "chat.given_minutes_ago")
        intro = f"*{say(self._language, key, minutes=minutes)}*\n\n"
        record.release, record.passages, record.decision = entry.scope.release, entry.passages, entry.decision
        record.verification = tuple(
            c.model_copy(update={"start": c.start + len(intro), "end": c.end + len(intro)}) for c in entry.verification
        )
        return intro + entry.text

    async def _keep(self, scope: cache.Scope, question: str, text: str, record: Record) -> None:
        """Keep an answer that came out as it should: no fallback, no restart, nothing unsupported in it."""
        sound = record.decision.level is Level.ANSWERED and all(a.outcome == "ok" for a in record.attempts)
        if not sound or any(c.verdict is Verdict.UNSUPPORTED for c in record.verification):
            return
        if record.release != scope.release or record.restarts or record.said or record.choices:
            return
        try:
            vector = await self._s.knowledge.vector(question)
        except ModelError:
            return
        passages = tuple(record.passages)
        kept = cache.Entry(
            scope, question, vector, text, passages, record.decision, record.verification, time.monotonic()
        )
        self._s.cache.keep(kept)

    def _expired(self, text: str, found: Found, record: Record) -> str:
        """A warning for each source of the answer that is past the date until which it was valid."""
        cited = {p.document_id: p.title for n, p in enumerate(found.passages, 1) if n in cited_in(text)}
        lines = [
            say(self._language, "chat.expired", title=decide.label(title), date=f"{found.expired[i]:%Y-%m-%d}")
            for i, title in cited.items()
            if i in found.expired
        ]
        record.said = record.said or bool(lines)
        return "".join(f"\n\n*{line}*" for line in lines)

    def _conflicts(self, text: str, found: Found, record: Record) -> str:
        """A sentence for each figure of the answer's passages that another passage contradicts."""
        if not self._s.settings.chat.steps.contradictions:
            return ""
        with record.step("contradictions") as notes:
            conflicts = conflict.found(text, found.passages, set(cited_in(text)), found.dates, found.expired, found.fit)
            notes.append(f"{len(conflicts)} found")
        lines = []
        for c in conflicts:
            lines.append(
                say(
                    self._language,
                    "chat.contradiction" if c.known else "chat.contradiction_open",
                    title=self._dated(c.used.title, c.date),
                    says=decide.label(c.says),
                    other=self._dated(c.other.title, c.other_date),
                    otherwise=decide.label(c.otherwise),
                )
            )
        return "".join(f"\n\n*{line}*" for line in lines)

    @staticmethod
    def _dated(title: str, date: datetime | None) -> str:
        return f"“{decide.label(title)}”" + (f" ({date:%Y-%m-%d})" if date else "")

    async def _evidence(self, search: rewrite.Search, record: Record) -> Found:
        """What the search found, and the decision about it. Where a filter finds nothing it is let go, and said so."""
        if self._taken is not None:
            found = await self._retrieve(search, record, frozenset(self._taken.documents))
            await self._decide(found, search.text, record)
            if record.decision.level is not Level.DECLINED:
                record.filtered = self._taken.label
                return found
        asked = await self._filter(search.text, record)
        record.filtered = self._only_in
        if asked is not None:
            text = asked.rest if asked.whole else search.text
            found = await self._retrieve(replace(search, text=text), record, asked.documents)
            await self._decide(found, search.text, record)
            what = asked.words + (f" ({', '.join(asked.titles[:2])})" if asked.titles else "")
            if record.decision.level is not Level.DECLINED:
                record.filtered = " · ".join(filter(None, (self._only_in, what)))
                record.remarks.append(say(self._language, "chat.filtered", what=decide.label(what)))
                if asked.whole:
                    everywhere = Choice(label=say(self._language, "chat.everywhere"), question=asked.rest)
                    record.choices = (*record.choices, everywhere)
                return found
            record.remarks.append(say(self._language, "chat.filter_empty", what=decide.label(asked.words)))
        found = await self._retrieve(search, record)
        await self._decide(found, search.text, record)
        return found

    async def _filter(self, question: str, record: Record) -> Filter | None:
        if not self._s.settings.chat.steps.filters:
            return None
        with record.step("filter") as notes:
            found = await self._s.knowledge.filtered(self._asker, question)
            notes.append(f"{len(found.documents)} documents: {found.words}" if found else "none said")
        return found

    async def _retrieve(self, search: rewrite.Search, record: Record, within: frozenset[int] | None = None) -> Found:
        parts = await self._split(search.text, record)
        with record.step("retrieve") as notes:
            try:
                among = chosen.within(within, self._chosen, only=bool(self._only_in))
                if among is None and self._chosen:
                    own, everywhere = await asyncio.gather(
                        self._in_parts(search, parts, self._chosen), self._in_parts(search, parts, None)
                    )
                    found = self._project_first(own, everywhere, notes)
                else:
                    found = await self._in_parts(search, parts, among)
                if len(parts) > 1:
                    notes.append(f"{len(parts)} parts searched apart")
            except ReleaseError as error:
                raise ReleaseError(say(self._language, "chat.no_release")) from error
            notes.extend((f"{len(found.passages)} passages", *found.notes))
        record.release = found.release_id
        record.passages = found.passages
        record.attempts.extend(found.attempts)
        return found

    async def _split(self, question: str, record: Record) -> Sequence[str]:
        """The questions that a question is searched as: by rule, else by a model where it may need several."""
        steps, models = self._s.settings.chat.steps, self._s.models
        parts = decompose.parts(question) if steps.decompose else [question]
        asks = steps.decompose and steps.decompose_by_model and not self._quoting and models.has("strong")
        if len(parts) > 1 or not asks or not decompose.hinted(question):
            return parts
        if question not in self._parts:
            with record.step("decompose") as notes, self._job("decompose", decompose.LIMIT_S, record) as (prompt, call):
                self._parts[question] = await decompose.by_model(
                    question, models=models, tier="strong", prompt=prompt, call=call
                )
                notes.append(f"{len(self._parts[question])} parts by a model")
        return self._parts[question]

    async def _in_parts(self, search: rewrite.Search, parts: Sequence[str], within: frozenset[int] | None) -> Found:
        found = await self._search(ThreadQuery(search.text, before=search.before, within=within))
        if len(parts) < 2:
            return found
        each = await asyncio.gather(*(self._search(ThreadQuery(p, within=within)) for p in parts))
        return decompose.merged(found, each, self._s.settings.chat.passages)

    def _project_first(self, own: Found, everywhere: Found, notes: list[str]) -> Found:
        """What the project's documents say, where that answers; else what all do, the project's before the others."""
        most = self._s.settings.chat.passages
        if decide.decide(own, self._s.settings.chat, self._s.calibration).level is Level.ANSWERED:
            notes.append("the project's documents first")
            return chosen.first(own, everywhere, most)
        notes.append("the project's documents do not answer")
        return chosen.lifted(everywhere, self._chosen, most)

    async def _read(self) -> None:
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _search(self, query: ThreadQuery) -> Found:
        await self._read()
        query.today = self._today
        retriever = self._s.knowledge.retriever(self._asker, self._s.settings.chat.passages)
        await retriever.aretrieve(query)
        return retriever.found

    async def _decide(self, found: Found, question: str, record: Record) -> None:
        with record.step("decide") as notes:
            record.decision = decide.decide(found, self._s.settings.chat, self._s.calibration)
            if record.decision.level is Level.WEAK and self._s.settings.chat.judge:
                with self._job("enough", verify.LIMIT_S, record) as (prompt, call):
                    record.decision = await decide.judged(
                        record.decision, question, found, models=self._s.models, prompt=prompt, call=call
                    )
            notes.append(record.decision.reason)

    async def _clarify(self, search: rewrite.Search, found: Found, context: recall.Context, record: Record) -> str:
        """A question back where the asked one may mean several things, else nothing. Never twice in a row."""
        if not self._s.settings.chat.steps.clarify or any(t.asked_back for t in context.window[-1:]):
            return ""
        with record.step("clarify") as notes:
            said = [text for text, _ in search.before] or [f"{t.question} {t.answer}" for t in context.window[-1:]]
            meant: Sequence[clarify.Meant] = clarify.things(
                search.text, said, found.passages, found.fit, found.older.keys()
            )
            if meant:
                with self._job("clarify", clarify.LIMIT_S, record) as (prompt, call):
                    meant = await clarify.confirmed(search.text, meant, models=self._s.models, prompt=prompt, call=call)
            notes.append(f"{len(meant)} things" if meant else "clear")
        if not meant:
            return ""
        record.choices = clarify.choices(search.text, meant)
        record.decision = record.decision.model_copy(
            update={"level": Level.ASKED, "reason": "it may mean several things"}
        )
        listed = "".join(f"\n- {decide.label(m.label)}" for m in meant)
        return f"{say(self._language, 'chat.which')}\n{listed}"

    @contextmanager
    def _job(self, name: str, limit_s: float, record: Record) -> Iterator[tuple[Prompt, Call]]:
        """The prompt and the call of a job beside the answer, until its limit or the turn's end, put on record."""
        prompt, call = self._s.prompts[name], Call(name, min(self._until(record), time.monotonic() + limit_s))
        try:
            yield prompt, call
        finally:
            record.attempts.extend(call.attempts)
        if call.attempts:
            record.prompts.append(prompt.use)

    def _until(self, record: Record) -> float:
        """When the turn has to be over, on the monotonic clock."""
        return record.began + self._s.settings.models.turn_s

    def _decline(self, found: Found) -> str:
        """No evidence, no generation: say so, name the nearest documents and whom to ask."""
        nearest = self._nearest(found)
        only = [say(self._language, "chat.declined_only", project=decide.label(self._only_in))] if self._only_in else []
        if not nearest:
            return " ".join([say(self._language, "chat.declined"), *only])
        links = [f"[{decide.label(n.title)}](/documents/{n.document_id})" for n in nearest]
        parts = [say(self._language, "chat.declined_nearest", documents=", ".join(links))]
        if owner := nearest[0].owner:
            parts.append(
                say(
                    self._language,
                    "chat.declined_whom",
                    owner=decide.label(owner),
                    title=decide.label(nearest[0].title),
                )
            )
        return " ".join([*parts, *only])

    @staticmethod
    def _nearest(found: Found | None) -> tuple[Nearest, ...]:
        return tuple(found.nearest[:3]) if found else ()

    async def _generate(
        self,
        search: rewrite.Search,
        found: Found,
        context: recall.Context,
        record: Record,
        shown: list[str],
    ) -> AsyncIterator[Event]:
        with record.step("route") as notes:
            tier, quoting_only, why = self._route(context.spent)
            notes.append("built-in quoting" if quoting_only else f"{tier} tier")
        # A model reads the thread before the question; what quotes needs the question before in the question itself.
        leaning = [text for text, _ in search.before[:1]] if quoting_only else []
        prompt = self._s.prompts["answer"]
        if not quoting_only:
            record.prompts.append(prompt.use)
        rendered = prompt.render(
            company=self._s.settings.company,
            language=self._language,
            passages=evidence.render(found.passages, found.dates, found.older),
            question="\n".join([*leaning, search.text]),
            notes=context.notes,
            earlier=context.earlier,
        )
        messages = [rendered[0], *self._earlier(context.window), *evidence.looked_up(record.looked_up), *rendered[1:]]
        before = [*record.remarks, *([why] if why else [])]
        record.said = bool(why)
        if record.decision.level is Level.WEAK:
            before.append(say(self._language, "chat.weak"))
        intro = "".join(f"*{sentence}*\n\n" for sentence in before)
        with record.step("generate") as notes:
            call = Call("answer", self._until(record))
            filtered, own = CitationFilter(len(found.passages)), guard.LeakFilter(rendered[0].content or "")
            pending, clipped = intro, ""
            try:
                async for event in self._s.models.stream(
                    "small" if quoting_only else tier, messages, call, only_quoting=quoting_only
                ):
                    if isinstance(event, Broken):
                        record.restarts += 1
                        filtered, own = CitationFilter(len(found.passages)), guard.LeakFilter(rendered[0].content or "")
                        shown.clear()
                        pending = intro
                        yield Restart(reason=say(self._language, "chat.restarted"))
                        continue
                    if isinstance(event, Clipped):
                        record.said = True
                        clipped = f"\n\n*{say(self._language, 'chat.clipped')}*"
                        continue
                    if text := pending + filtered.feed(own.feed(event.text)):
                        pending = ""
                        record.shown()
                        shown.append(text)
                        yield Delta(text=text)
                        self._s.growing.keep(record.answer_id, shown)
                rest = filtered.feed(own.close()) + filtered.close() + clipped
                if own.leaked:
                    notes.append("instructions taken out")
                    if not "".join([*shown, rest]).strip():
                        rest = say(self._language, "chat.not_shown")
                if rest:
                    shown.append(rest)
                    yield Delta(text=rest)
            finally:
                record.attempts.extend(call.attempts)

    def _route(self, spent: int) -> tuple[Literal["small", "strong"], bool, str]:
        """The tier that answers, whether only quoting is left (no model, or no money), and what to tell of it.

        `spent` is what the person's turns have cost today, in nano-dollars.
        """
        models = self._s.models
        if not (models.has("strong") or models.has("small")):
            return "small", True, ""
        if spent >= self._s.settings.chat.dollars_per_person_day * NANO:
            return "small", True, say(self._language, "chat.over_budget")
        return ("strong" if models.has("strong") else "small"), False, ""

    def _earlier(self, window: Sequence[threads.PastTurn]) -> list[ChatMessage]:
        earlier = []
        for past in window:
            earlier.append(ChatMessage(role=MessageRole.USER, content=past.question))
            earlier.append(ChatMessage(role=MessageRole.ASSISTANT, content=past.answer or "—"))
        return earlier

    async def summarise(self) -> None:
        """After the turn: bring the summary of a long thread up to date, where there is a model to write it."""
        if self.answer is not None:
            await summary.keep_up(
                self._s.db,
                self._asker,
                self.answer.receipt,
                self._s.settings,
                self._s.models,
                self._s.prompts["summary"],
            )

    async def _verify(self, text: str, found: Found, record: Record) -> None:
        passages = dict(enumerate(found.passages, 1))
        with record.step("verify") as notes:
            if self._s.settings.chat.judge and self._s.models.has("small"):
                with self._job("judge", verify.LIMIT_S, record) as (prompt, call):
                    record.verification, decided = await verify.judged(
                        text, passages, self._language, models=self._s.models, prompt=prompt, call=call
                    )
                if call.attempts:
                    notes.append(f"{decided} judged by a model")
            else:
                record.verification = verify.check(text, passages, self._language)
            notes.append(f"{len(record.verification)} statements")

    async def _close(self, text: str, found: Found | None, record: Record, outcome: Outcome) -> Answer:
        self._s.growing.drop(record.answer_id)
        if text:
            record.shown()
        numbers, quotes = citations(text, record.passages)
        declined = record.decision.level is Level.DECLINED
        answer = Answer(
            id=record.answer_id,
            thread=self._thread_id,
            text=text,
            abstained=declined,
            citations=quotes,
            nearest=self._nearest(found) if declined else (),
            choices=record.choices,
            receipt=record.receipt(numbers, outcome),
        )
        await self._store(answer, record)
        return answer

    async def _store(self, answer: Answer, record: Record) -> None:
        await threads.close_turn(self._s.db, self._asker, answer, record.attempts)

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
            async for event in self.turn(message, str(uuid4()), str(uuid4())):
                if isinstance(event, Delta):
                    response.aput_in_queue(event.text)
                elif isinstance(event, Restart):
                    response.aput_in_queue(f"\n\n{event.reason}\n\n")
                elif isinstance(event, Final):
                    response.response = event.answer.text
                    self._remember(message, event.answer.text)
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
