"""From a question that stands alone to the passages that answer it, and the decision whether they do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assistant.chat import chosen, decide, decompose, verify
from assistant.chat.receipt import Record
from assistant.chat.rewrite import Search
from assistant.chat.services import Services
from assistant.domain import Asker, Choice, Decision, Level
from assistant.errors import ReleaseError
from assistant.index.filters import Filter
from assistant.index.retrieve import Found, ThreadQuery, Today
from assistant.texts import say


@dataclass
class Searching:
    """How the question of one turn is searched."""

    services: Services
    asker: Asker
    record: Record
    # The question being read word by word, from the turn's first moment on.
    reading: asyncio.Task[Any] | None
    # None without an index; the search then says so.
    today: Today | None
    # The documents that the talk's project chose, and its name where no others are searched.
    chosen: frozenset[int]
    only_in: str
    # What of a question back the person chose.
    taken: Choice | None
    # Whether no model answers.
    quoting: bool
    # The question without what the glossary adds to it; empty where it adds nothing.
    as_said: str = ""
    # What a model split questions into.
    parts: dict[str, Sequence[str]] = field(default_factory=dict)

    async def evidence(self, search: Search) -> Found:
        """What the search found, and the decision about it. Where a filter finds nothing it is let go, and said so."""
        record, language = self.record, self.record.language
        if self.taken is not None:
            found = await self._judged(search, search.text, frozenset(self.taken.documents))
            if record.decision.level is not Level.DECLINED:
                record.filtered = self.taken.label
                return found
        asked = await self._filter(search.text)
        record.filtered = self.only_in
        if asked is not None:
            text = asked.rest if asked.whole else search.text
            found = await self._judged(replace(search, text=text), search.text, asked.documents)
            what = asked.words + (f" ({', '.join(asked.titles[:2])})" if asked.titles else "")
            if record.decision.level is not Level.DECLINED:
                record.filtered = " · ".join(filter(None, (self.only_in, what)))
                record.remarks.append(say(language, "chat.filtered", what=decide.label(what)))
                if asked.whole:
                    everywhere = Choice(label=say(language, "chat.everywhere"), question=asked.rest)
                    record.choices = (*record.choices, everywhere)
                return found
            record.remarks.append(say(language, "chat.filter_empty", what=decide.label(asked.words)))
        return await self._judged(search, search.text)

    async def asked(self, search: Search) -> tuple[Search, Found]:
        """What was searched and found: the message, or, where nothing answers that, the questions alone that it puts.

        What somebody tells besides, about a day or a laptop, stands in no document and hides what is asked. So may a
        meaning in the glossary that is none: before anything is declined it is searched as it was said.
        """
        found = await self.evidence(search)
        record, whole = self.record, self.record.decision
        if whole.level is not Level.DECLINED or self.taken is not None:
            return search, found
        if self.as_said:
            said = replace(search, text=self.as_said)
            as_said = await self._judged(said, said.text)
            if record.decision.level is not Level.DECLINED:
                record.searched = said.text
                return said, as_said
            record.decision, record.passages = whole, found.passages
        if not self.services.settings.chat.steps.decompose:
            return search, found
        answered: list[tuple[Decision, str, Found]] = []
        for question in decompose.asked(search.text):
            alone = await self._judged(Search(question, note="asked in a longer message"), question)
            if record.decision.level is not Level.DECLINED:
                answered.append((record.decision, question, alone))
        if not answered:
            record.decision, record.passages = whole, found.passages
            return search, found
        each = [alone for _, _, alone in answered]
        found = decompose.merged(each[0], each, self.services.settings.chat.passages) if each[1:] else each[0]
        # The rest of the message may have mattered: no more is promised than that this is close.
        least = min((d for d, _, _ in answered), key=lambda d: d.score)
        record.decision = least.model_copy(
            update={"level": Level.WEAK, "reason": "only a part of the message is found"}
        )
        record.passages = found.passages
        record.searched = " ".join(f"{question}?" for _, question, _ in answered)
        record.said = True
        record.remarks.append(say(record.language, "chat.asked_alone", asked=decide.label(record.searched)))
        return Search(record.searched, note="asked in a longer message"), found

    async def vector(self, question: str) -> tuple[float, ...]:
        """The question as it is compared with others."""
        await self._read()
        return await self.services.knowledge.vector(question)

    async def _filter(self, question: str) -> Filter | None:
        if not self.services.settings.chat.steps.filters:
            return None
        with self.record.step("filter") as notes:
            found = await self.services.knowledge.filtered(self.asker, question)
            notes.append(f"{len(found.documents)} documents: {found.words}" if found else "none said")
        return found

    async def _judged(self, search: Search, question: str, within: frozenset[int] | None = None) -> Found:
        found = await self._retrieve(search, within)
        await self._decide(found, question)
        return found

    async def _retrieve(self, search: Search, within: frozenset[int] | None) -> Found:
        record, parts = self.record, await self._split(search.text)
        with record.step("retrieve") as notes:
            try:
                among = chosen.within(within, self.chosen, only=bool(self.only_in))
                if among is None and self.chosen:
                    own, everywhere = await asyncio.gather(
                        self._in_parts(search, parts, self.chosen), self._in_parts(search, parts, None)
                    )
                    found = self._project_first(own, everywhere, notes)
                else:
                    found = await self._in_parts(search, parts, among)
                if len(parts) > 1:
                    notes.append(f"{len(parts)} parts searched apart")
            except ReleaseError as error:
                raise ReleaseError(say(record.language, "chat.no_release")) from error
            notes.extend((f"{len(found.passages)} passages", *found.notes))
        record.release, record.passages = found.release_id, found.passages
        record.attempts.extend(found.attempts)
        return found

    async def _split(self, question: str) -> Sequence[str]:
        """The questions that a question is searched as: by rule, else by a model where it may need several."""
        steps, models = self.services.settings.chat.steps, self.services.models
        parts = decompose.parts(question) if steps.decompose else [question]
        able = not self.quoting and models.has(self.services.prompts["decompose"].tier)
        asks = steps.decompose and steps.decompose_by_model and able
        if len(parts) > 1 or not asks or not decompose.hinted(question):
            return parts
        if question not in self.parts:
            job = self.services.job("decompose", decompose.LIMIT_S, self.record)
            with self.record.step("decompose") as notes, job as (prompt, call):
                self.parts[question] = await decompose.by_model(question, models=models, prompt=prompt, call=call)
                notes.append(f"{len(self.parts[question])} parts by a model")
        return self.parts[question]

    async def _in_parts(self, search: Search, parts: Sequence[str], within: frozenset[int] | None) -> Found:
        found = await self._search(ThreadQuery(search.text, before=search.before, aside=search.aside, within=within))
        if len(parts) < 2:
            return found
        each = await asyncio.gather(*(self._search(ThreadQuery(p, within=within)) for p in parts))
        return decompose.merged(found, each, self.services.settings.chat.passages)

    def _project_first(self, own: Found, everywhere: Found, notes: list[str]) -> Found:
        """What the project's documents say, where that answers; else what all do, the project's before the others."""
        chat = self.services.settings.chat
        if decide.decide(own, chat, self.services.calibration).level is Level.ANSWERED:
            notes.append("the project's documents first")
            return chosen.first(own, everywhere, chat.passages)
        notes.append("the project's documents do not answer")
        return chosen.lifted(everywhere, self.chosen, chat.passages)

    async def _search(self, query: ThreadQuery) -> Found:
        await self._read()
        query.today = self.today
        retriever = self.services.knowledge.retriever(self.asker, self.services.settings.chat.passages)
        await retriever.aretrieve(query)
        return retriever.found

    async def _read(self) -> None:
        if self.reading is not None:
            await asyncio.wait([self.reading])

    async def _decide(self, found: Found, question: str) -> None:
        services, record = self.services, self.record
        with record.step("decide") as notes:
            record.decision = decide.defined(
                decide.decide(found, services.settings.chat, services.calibration), question, found
            )
            if record.decision.level is Level.WEAK and services.settings.chat.judge:
                with services.job("enough", verify.LIMIT_S, record) as (prompt, call):
                    record.decision = await decide.judged(
                        record.decision, question, found, models=services.models, prompt=prompt, call=call
                    )
            notes.append(record.decision.reason)
