"""A small installation without models or an index: real database, scripted turns, passages from a dictionary."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, ActiveRelease, DocumentRow, ReleaseRow
from assistant.domain import (
    Answer,
    Asker,
    Attempt,
    Citation,
    Decision,
    Delta,
    Event,
    Final,
    Level,
    Nearest,
    PassageUse,
    PromptUse,
    Receipt,
    Scores,
    SentenceCheck,
    Stage,
    StepTime,
    Verdict,
    now,
)
from assistant.errors import NotFoundError, ReleaseError
from assistant.index.spelling import Words
from assistant.memory import people, threads
from assistant.settings import Settings
from assistant.web.rights import readable

PASSWORD = "correct horse battery"
TEXT = (
    "Up to ten unused days may be carried into the next calendar year. Days carried over lapse on 31 March. "
    "Days beyond ten lapse at the end of the year unless sickness or parental leave kept you from taking them."
)
PAY = "Band five starts at 61,000 pounds a year. It is reviewed each spring."
ANSWER = (
    "Yes, up to **ten unused days** may be carried into the next calendar year, and they lapse on 31 March. [1] "
    "Your manager has to agree in writing. [1]"
)


# The owner has an account only where a test makes one.
NEAREST = Nearest(document_id=1, document="leave.md", title="Leave policy", owner="Fin Ance, Finance")


@dataclass
class Shown:
    before: str
    passage: Any
    after: str
    title: str
    place: str
    link: str = ""
    owner: str = ""
    modified: datetime | None = None


@dataclass
class FakeKnowledge:
    db: Database
    files: Path
    texts: dict[int, str] = field(default_factory=dict)

    async def passage(self, asker: Asker, passage_id: str, release_id: int | None = None) -> Shown:
        document = int(passage_id.split("-", maxsplit=1)[0])
        row = await self._document(asker, document)
        return Shown(
            before="Every employee has 28 days a year.\n\n",
            passage=SimpleNamespace(text=self.texts[document], place=SimpleNamespace(page=2)),
            after="\n\nAsk the people team if in doubt.",
            title=row.title,
            place="page 2 · Carrying days over",
            link=f"/documents/{document}",
            owner=row.owner,
            modified=datetime(2026, 5, 12, tzinfo=UTC),
        )

    async def words(self) -> Words:
        return Words((w, 1, 1) for text in self.texts.values() for w in re.findall(r"[^\W\d_]+", text))

    async def release(self) -> Any:
        raise ReleaseError("There is no index yet.")

    def other_embedder(self, row: ReleaseRow) -> str:
        return row.embedder

    async def original(self, asker: Asker, document_id: int) -> Any:
        row = await self._document(asker, document_id)
        return SimpleNamespace(path=self.files / row.path, title=row.title, media_type=row.media_type)

    async def _document(self, asker: Asker, document: int) -> DocumentRow:
        if document not in await readable(self.db, asker, [document]):
            raise NotFoundError("There is no such document.")
        async with self.db.read() as session:
            return await session.get(DocumentRow, document)


class FakeTurn:
    def __init__(
        self, turns: FakeTurns, asker: Asker, thread: str, question_id: str, answer_id: str, text: str, beside: str
    ):
        self._beside = beside
        self.answer_id, self.question = answer_id, text
        self._turns, self._asker, self._thread, self._question_id = turns, asker, thread, question_id
        self._events: list[Event] = []
        self._changed = asyncio.Event()
        self._over = False
        self._stop = False
        self.task = asyncio.create_task(self._run())

    def _put(self, event: Event) -> None:
        self._events.append(event)
        self._changed.set()

    async def _run(self) -> None:
        db = self._turns.parts.db
        try:
            await threads.open_turn(
                db,
                self._asker,
                self._thread,
                self._question_id,
                self.question,
                beside=self._beside,
                answer_id=self.answer_id,
                owner="fake",
            )
            if "explode" in self.question:
                raise RuntimeError("secret inside: sk-canary-123")
            self._put(Stage(name="search"))
            await asyncio.sleep(self._turns.delay * 3)
            document = 2 if "pay" in self.question.lower() else 1
            if document not in await readable(db, self._asker, [document]):
                document = 0
            words = (ANSWER if document != 2 else "Band five starts at 61,000 pounds a year. [1]").split(" ")
            if not document:
                words = "Our documents do not say.".split(" ")
            if "long" in self.question:
                words = words * 5
            self._put(Stage(name="write"))
            shown = ""
            for word in words:
                if self._stop:
                    break
                shown += ("" if not shown else " ") + word
                self._put(Delta(text=word if shown == word else f" {word}"))
                await threads.grow(db, {self.answer_id: shown})
                await asyncio.sleep(self._turns.delay)
            await self._close(shown, document)
        finally:
            self._over = True
            self._changed.set()

    async def _close(self, shown: str, document: int) -> None:
        db = self._turns.parts.db
        checks = ()
        if document == 1 and not self._stop and "long" not in self.question:
            cut = shown.index("Your manager")
            checks = (
                SentenceCheck(start=0, end=cut - 1, citations=(1,), verdict=Verdict.SUPPORTED),
                SentenceCheck(
                    start=cut,
                    end=len(shown),
                    citations=(1,),
                    verdict=Verdict.UNSUPPORTED,
                    reason="its source does not say so",
                ),
            )
        elif document == 2:
            checks = (SentenceCheck(start=0, end=len(shown), citations=(1,), verdict=Verdict.SUPPORTED),)
        passages = ()
        if document:
            async with db.read() as session:
                row = await session.get(DocumentRow, document)
            passages = (
                PassageUse(
                    n=1,
                    passage=f"{document}-0",
                    document_id=document,
                    document=row.path,
                    title=row.title,
                    place="page 2 · Carrying days over",
                    text_hash="x",
                    scores=Scores(fused=1),
                    cited="[1]" in shown,
                ),
            )
        attempt = Attempt(
            feature="answer",
            tier="small",
            provider="extract",
            model_asked="extract",
            outcome="ok",
            ms=1200,
            tokens_in=1930,
            tokens_out=96,
            cost_nano=1_100_000,
        )
        receipt = Receipt(
            id=self.answer_id,
            thread=self._thread,
            asked=self.question,
            searched="carry unused vacation days into next year",
            release=1,
            passages=passages,
            decision=Decision(level=Level.ANSWERED if document else Level.DECLINED, score=0.9, threshold=0.4),
            prompts=(PromptUse(name="answer", version="7"),),
            attempts=(attempt,),
            steps=(
                StepTime(name="retrieve", ms=38),
                StepTime(name="generate", ms=1200),
                StepTime(name="verify", ms=41),
            ),
            verification=checks,
            outcome="stopped" if self._stop else "complete",
            tokens_in=1930,
            tokens_out=96,
            cost_nano=1_100_000,
            ms=1400,
            created_at=now(),
        )
        citations = (
            (Citation(n=1, document="leave.md", title="Leave policy", place="page 2", quote=TEXT, passage="1-0"),)
            if passages and passages[0].cited
            else ()
        )
        answer = Answer(
            id=self.answer_id,
            thread=self._thread,
            text=shown,
            abstained=not document,
            citations=citations,
            nearest=() if document else (NEAREST,),
            receipt=receipt,
        )
        await threads.close_turn(db, self._asker, answer, [attempt])
        self._put(Final(answer=answer))

    async def events(self) -> AsyncIterator[Event]:
        at = 0
        while True:
            while at < len(self._events):
                yield self._events[at]
                at += 1
            if self._over:
                if self.task.done() and (error := self.task.exception()):
                    raise error
                return
            self._changed.clear()
            await self._changed.wait()

    def stop(self, *, interrupted: bool = False) -> None:
        self._stop = True

    async def wait(self) -> None:
        await asyncio.wait([self.task])


class FakeTurns:
    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.parts: Any = None
        self._running: dict[str, FakeTurn] = {}

    def start(
        self,
        asker: Asker,
        thread_id: str,
        question_id: str,
        answer_id: str,
        text: str,
        language: str = "en",
        beside: str = "",
    ) -> FakeTurn:
        turn = FakeTurn(self, asker, thread_id, question_id, answer_id, text, beside)
        self._running[thread_id] = turn
        turn.task.add_done_callback(lambda _: self._running.pop(thread_id, None))
        return turn

    def running(self, thread_id: str) -> FakeTurn | None:
        return self._running.get(thread_id)


async def furnished(settings: Settings, delay: float = 0.0) -> Any:
    """Parts on a fresh database: three people, two documents (one for finance only), one release."""
    db = Database(settings.database_url)
    await db.migrate()
    files = settings.data / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "leave.md").write_text(f"# Leave\n\n{TEXT}\n", encoding="utf-8")
    (files / "pay.html").write_text(f"<script>alert(1)</script><p>{PAY}</p>", encoding="utf-8")
    if await people.by_email(db, "ada@demo.example") is None:
        await people.add(db, "ada@demo.example", name="Ada Byron", password=PASSWORD)
        await people.add(db, "fin@demo.example", name="Fin Ance", password=PASSWORD, groups=["finance"])
        await people.add(db, "root@demo.example", name="Root Admin", password=PASSWORD, groups=["admins"])
        async with db.write() as session:
            session.add(AccessRule(id=1, key="demo:**", groups=["everyone"]))
            session.add(AccessRule(id=2, key="demo:finance/**", groups=["finance"]))
            session.add(ReleaseRow(id=1, table_name="passages", documents=2, passages=2, state="ready"))
            await session.flush()
            session.add(ActiveRelease(id=1, release_id=1))
            for number, path, title, rule in ((1, "leave.md", "Leave policy", 1), (2, "pay.html", "Pay bands", 2)):
                session.add(
                    DocumentRow(
                        id=number, source="demo", path=path, title=title, rule_id=rule, owner="Mara Lindt", passages=1
                    )
                )
            session.add(
                DocumentRow(
                    id=3, source="demo", path="broken.pdf", rule_id=1, state="failed", reason="The file is encrypted."
                )
            )
    knowledge = FakeKnowledge(db, files, {1: TEXT, 2: PAY})
    turns = FakeTurns(delay)
    parts = SimpleNamespace(settings=settings, db=db, knowledge=knowledge, turns=turns)
    turns.parts = parts
    return parts
