"""One turn, from the question to the stored answer, with a real index, a real database and a provider that fails."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import select

from assistant.chat import cache, guard, prompts
from assistant.chat.engine import KnowledgeChatEngine
from assistant.chat.models import Models
from assistant.chat.services import Services
from assistant.chat.turns import Turns
from assistant.database.tables import DocumentRow
from assistant.domain import Answer, Asker, Delta, Event, Final, Level, Restart, Stage, Verdict
from assistant.errors import ModelError, NotFoundError
from assistant.index import disputed, glossary
from assistant.memory import people, threads
from assistant.ops import usage
from assistant.settings import PROJECT, Settings
from tests.chat.conftest import Provider
from tests.index.conftest import Index, db, in_process, index, migrated_file

__all__ = ["db", "in_process", "index", "migrated_file"]

FILES = {
    "leave.md": "# Leave\n\nEvery employee has 28 days of vacation a year. Unused vacation days lapse on 31 March.\n",
    "laptops.md": "# Laptop policy\n\nLaptops are replaced after four years. Mara Lindt signs off every laptop.\n",
    "finance/budget.md": "# Budget\n\nThe secret budget for the moon project is 900 dollars.\n",
}
# The test's embedder only hashes words, so the fitted thresholds do not fit it.
LENIENT = {"answer_threshold": 0.12, "weak_threshold": 0.10}


class Office:
    """An installation with three documents, two people and whatever models a test wants."""

    def __init__(self, index: Index, ada: Asker, fin: Asker) -> None:
        self.index, self.ada, self.fin = index, ada, fin
        self.settings = Settings(company="Lindt & Co").model_copy(
            update={"chat": Settings().chat.model_copy(update=LENIENT)}
        )

    def services(self, models: Settings | None = None, **chat: Any) -> Services:
        settings = self.settings.model_copy(
            update={
                "models": (models or self.settings).models,
                "chat": self.settings.chat.model_copy(update=chat),
            }
        )
        return Services(
            settings=settings,
            db=self.index.db,
            knowledge=self.index.knowledge,
            models=Models(settings),
            prompts=prompts.load(PROJECT / "prompts"),
            rate=guard.RateLimit(settings.chat.questions_per_minute),
            owner="test",
            cache=cache.AnswerCache(settings.chat.cache_minutes),
        )

    async def ask(
        self, services: Services, question: str, who: Asker | None = None, thread: str = ""
    ) -> tuple[Answer, list[Event]]:
        engine = KnowledgeChatEngine(services, who or self.ada, thread or str(uuid4()))
        events = [e async for e in engine.turn(question, str(uuid4()), str(uuid4()))]
        assert isinstance(events[-1], Final)
        return events[-1].answer, events


@pytest.fixture
async def office(index: Index, in_process: None) -> Office:
    index.restrict(finance=["finance"])
    await index.sync(FILES)
    ada = people.asker_of(await people.add(index.db, "ada@example.test"))
    fin = people.asker_of(await people.add(index.db, "fin@example.test", groups=["finance"]))
    return Office(index, ada, fin)


def shown(events: list[Event]) -> str:
    """What stands on the screen at the end."""
    text = ""
    for event in events:
        if isinstance(event, Restart):
            text = ""
        elif isinstance(event, Delta):
            text += event.text
    return text


@pytest.mark.parametrize("configured", [True, False])
async def test_where_the_embedding_model_is_down_a_question_is_answered_by_words(
    office: Office, provider: Provider, monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    async def down(*_: object) -> None:
        raise ModelError("The embedding model did not answer.")

    monkeypatch.setattr(office.index.embedder, "embed", down)
    services = office.services(provider.settings("ok") if configured else None)
    if not configured:
        services = replace(services, models=Models(services.settings, office.index.embedder))
    answer, _ = await office.ask(services, "How many vacation days do employees have a year?")
    assert answer.receipt.outcome == "complete"
    assert [p.document for p in answer.receipt.passages][:1] == ["leave.md"]
    (step,) = (s for s in answer.receipt.steps if s.name == "retrieve")
    assert "searched by words alone" in str(step)
    assert configured or "28 days" in answer.text


async def test_an_answer_quotes_the_document_and_its_citations_resolve(office: Office) -> None:
    answer, events = await office.ask(office.services(), "How many vacation days has every employee?")
    assert not answer.abstained
    assert "28 days of vacation" in answer.text
    assert shown(events) == answer.text
    assert [c.document for c in answer.citations][:1] == ["leave.md"]
    for citation in answer.citations:
        found = await office.index.knowledge.passage(office.ada, citation.passage)
        assert found.passage.text == citation.quote


async def test_the_receipt_says_what_the_answer_took_and_is_stored_with_it(office: Office) -> None:
    answer, _ = await office.ask(office.services(), "How many vacation days has every employee?")
    receipt = await threads.receipt(office.index.db, office.ada, answer.id)
    assert receipt == answer.receipt
    names = [s.name for s in receipt.steps]
    assert names == [
        "open", "guard", "small talk", "spelling", "glossary", "recall", "rewrite", "cache", "filter", "retrieve",
        "decide", "clarify", "route", "generate", "verify", "contradictions",
    ]  # fmt: skip
    assert all(s.ms >= 0 for s in receipt.steps)
    assert receipt.release == 1
    assert receipt.decision.level is Level.ANSWERED
    assert [a.provider for a in receipt.attempts][-1] == "builtin"
    assert all(c.verdict is Verdict.SUPPORTED for c in receipt.verification)
    rows = await usage.summary(office.index.db, "feature")
    assert sum(r["cost_nano"] for r in rows) == receipt.cost_nano


async def test_nothing_relevant_is_declined_with_the_nearest_documents_and_nothing_is_generated(
    office: Office, provider: Provider
) -> None:
    services = office.services(provider.settings("ok"), answer_threshold=0.99, weak_threshold=0.98)
    answer, _ = await office.ask(services, "Who won the table tennis tournament?")
    assert answer.abstained
    assert answer.citations == ()
    assert "do not answer this" in answer.text
    assert f"](/documents/{answer.nearest[0].document_id})" in answer.text
    assert provider.calls == {}


@pytest.mark.parametrize(
    ("language", "question", "said"),
    [
        ("de", "Wer gewann das Turnier?", "Die meisten Dokumente sind auf Englisch"),
        ("en", "Who won the tournament?", ""),
        # What is written tells more than what the browser speaks.
        (
            "en",
            "Wer hat das Turnier im Tischtennis gewonnen und wie ist der Preis?",
            "Most of the documents are in English",
        ),
        ("de", "Who won the table tennis tournament and what is the prize for it?", ""),
    ],
)
async def test_where_most_documents_are_in_another_language_a_question_without_an_answer_is_told_so(
    office: Office, language: str, question: str, said: str
) -> None:
    # What the asker may not read counts for nothing.
    languages = {"leave.md": "en", "laptops.md": "", "finance/budget.md": "de"}
    async with office.index.db.write() as session:
        for row in (await session.exec(select(DocumentRow))).all():
            row.language = languages[row.path]
            session.add(row)
    services = office.services(answer_threshold=0.99, weak_threshold=0.98)
    engine = KnowledgeChatEngine(services, office.ada, str(uuid4()), language)
    [answer] = [e.answer async for e in engine.turn(question, str(uuid4()), str(uuid4())) if isinstance(e, Final)]
    assert answer.abstained
    assert said in answer.text
    assert bool(said) == ("in English" in answer.text or "auf Englisch" in answer.text)


async def test_hidden_documents_are_neither_retrieved_nor_named(office: Office) -> None:
    services = office.services()
    answer, _ = await office.ask(services, "What is the secret budget for the moon project?")
    whole = answer.model_dump_json()
    assert "900 dollars" not in whole
    assert "budget.md" not in whole
    allowed, _ = await office.ask(services, "What is the secret budget for the moon project?", office.fin)
    assert "900 dollars" in allowed.text


async def test_a_follow_up_is_searched_with_its_thread(office: Office) -> None:
    services, thread = office.services(), str(uuid4())
    await office.ask(services, "When is a laptop replaced?", thread=thread)
    answer, _ = await office.ask(services, "and who signs that off?", thread=thread)
    assert answer.receipt.fused_with[0] == "When is a laptop replaced?"
    assert answer.receipt.passages[0].document == "laptops.md"
    assert "Mara Lindt" in answer.text


async def test_a_misspelt_question_is_answered_as_it_was_meant_and_says_so(office: Office) -> None:
    services, thread = office.services(cache_minutes=0), str(uuid4())
    meant, _ = await office.ask(services, "How many vacation days has every employee?")
    answer, _ = await office.ask(services, "How many vaccation days has every employe?", thread=thread)
    said = "*Searched for “vacation”, “employee” instead of “vaccation”, “employe”.*\n\n"
    assert answer.text == said + meant.text
    assert answer.citations == meant.citations
    assert answer.receipt.searched == "How many vacation days has every employee?"
    assert answer.receipt.asked == "How many vaccation days has every employe?"
    follow_up, _ = await office.ask(services, "and when do they lapse?", thread=thread)
    assert follow_up.receipt.fused_with[0] == "How many vacation days has every employee?"
    off = services.settings.chat.steps.model_copy(update={"spelling": False})
    as_typed, _ = await office.ask(office.services(steps=off), "How many vaccation days has every employe?")
    assert as_typed.receipt.searched == "How many vaccation days has every employe?"
    assert "Searched for" not in as_typed.text


async def test_the_companys_own_word_is_searched_by_what_it_means_and_the_answer_says_so(office: Office) -> None:
    services, thread = office.services(), str(uuid4())
    unknown, _ = await office.ask(services, "How much furlo has every employee?")
    async with office.index.db.write() as session:
        await glossary.add(session, "furlo", "vacation days", "ada@example.test")
    answer, _ = await office.ask(services, "How much furlo has every employee?", thread=thread)
    assert answer.text.startswith("*Searched for “furlo” as “vacation days”, too.*\n\n")
    assert "28 days of vacation" in answer.text
    assert answer.receipt.searched == "How much furlo (vacation days) has every employee?"
    scores = [a.receipt.passages[0].scores.text for a in (answer, unknown)]
    assert scores[0] > scores[1]
    follow_up, _ = await office.ask(services, "and when do they lapse?", thread=thread)
    assert follow_up.receipt.fused_with[0] == answer.receipt.searched
    named, _ = await office.ask(services, "How much Furlo has every employee?")
    assert "“Furlo” as “vacation days”" in named.text
    assert "names “Furlo”" not in named.text, "the documents call it otherwise"
    off = services.settings.chat.steps.model_copy(update={"glossary": False})
    as_typed, _ = await office.ask(office.services(steps=off), "How much furlo has every employee?")
    assert as_typed.receipt.searched == unknown.receipt.searched


async def test_a_wrong_term_of_the_glossary_hides_nothing(office: Office) -> None:
    services = office.services(answer_threshold=0.5, weak_threshold=0.3)
    asked = "Laptops are replaced after four years?"
    right, _ = await office.ask(services, asked)
    assert not right.abstained
    async with office.index.db.write() as session:
        meant = "zebra crossings of large rivers in southern Peru, their bridges, ferries and all railway tunnels"
        await glossary.add(session, "laptops", meant, "ada@example.test")
    answer, _ = await office.ask(services, asked)
    assert [s.name for s in answer.receipt.steps].count("retrieve") == 2, "the term alone was declined"
    assert (answer.abstained, answer.citations) == (False, right.citations)


async def test_a_long_message_is_answered_by_the_questions_it_puts_and_says_so(office: Office) -> None:
    services = office.services(answer_threshold=0.5, weak_threshold=0.16)
    told = (
        "Hello dear colleagues, yesterday evening my train from Hamburg arrived late because of heavy snow, my phone "
        "had no battery left, and I was wondering whether laptops are replaced after four years. Cheers, Bob"
    )
    answer, _ = await office.ask(services, told)
    asked = "laptops are replaced after four years?"
    assert answer.text.startswith(f"*Nothing answers the whole message, so I searched for: {asked}*\n\n")
    assert "**Laptops are replaced after four years.**" in answer.text
    assert (answer.receipt.decision.level, answer.receipt.searched) == (Level.WEAK, asked)
    nothing, _ = await office.ask(services, told.replace("laptops are replaced after four years", "penguins can fly"))
    assert (nothing.receipt.decision.level, nothing.receipt.searched) == (Level.DECLINED, nothing.receipt.asked)


async def test_an_answer_about_another_place_says_so_to_whoever_named_the_place(office: Office) -> None:
    services = office.services()
    named = "How many vacation days do employees of the Oslo office have?"
    answer, _ = await office.ask(services, named)
    assert answer.text.startswith("*None of the passages found names “Oslo”.*\n\nFrom our documents:")
    other, _ = await office.ask(services, named.replace("Oslo ", ""))
    assert "Oslo" not in other.text


async def test_what_a_glossary_explains_is_answered_however_long_it_is(office: Office) -> None:
    entries = "\n".join(f"- W{n} - Word number {n} of many." for n in range(10))
    await office.index.sync({**FILES, "glossary.md": f"# Glossary\n\n{entries}\n- OKR - Objectives and Key Results.\n"})
    services = office.services(answer_threshold=0.99, weak_threshold=0.98)
    answer, _ = await office.ask(services, "what does OKR mean?")
    assert "**OKR - Objectives and Key Results.**" in answer.text
    other, _ = await office.ask(services, "what does vacation mean?")
    assert other.receipt.decision.level is Level.DECLINED


async def test_what_was_misspelt_is_told_to_whoever_typed_it_alone(office: Office) -> None:
    services = office.services()
    typed, right = "How many vaccation days has every employee?", "How many vacation days has every employee?"
    first, _ = await office.ask(services, typed)
    second, _ = await office.ask(services, right)
    assert (first.receipt.cache, second.receipt.cache) == ("miss", "miss")
    assert "Searched for" not in second.text
    third, _ = await office.ask(services, typed)
    assert (third.receipt.cache, third.receipt.quoted) == ("hit", True)
    assert third.text.startswith("*Searched for “vacation” instead of “vaccation”.*\n\n*Answered a moment ago")


async def test_a_new_subject_in_a_thread_is_answered_as_if_it_were_asked_first(office: Office) -> None:
    services, thread = office.services(), str(uuid4())
    asked = "How many vacation days has every employee?"
    first, _ = await office.ask(services, asked)
    await office.ask(services, "When is a laptop replaced?", thread=thread)
    answer, _ = await office.ask(services, asked, thread=thread)
    assert answer.receipt.fused_with == ()
    assert (answer.text, answer.receipt.decision) == (first.text, first.receipt.decision)


async def test_where_there_is_a_small_model_a_follow_up_is_rewritten(office: Office, provider: Provider) -> None:
    provider.reply = '{"question": "When do unused vacation days lapse?", "standalone": false}'
    services, thread = office.services(provider.settings("ok", tier="small")), str(uuid4())
    await office.ask(services, "How many vacation days has every employee?", thread=thread)
    answer, _ = await office.ask(services, "and when do they lapse?", thread=thread)
    assert answer.receipt.searched == "When do unused vacation days lapse?"
    assert [p.name for p in answer.receipt.prompts] == ["rewrite", "answer"]
    assert {a.feature for a in answer.receipt.attempts} == {"rewrite", "embed_query", "answer"}


async def test_a_models_answer_streams_with_resolving_citations_only(office: Office, provider: Provider) -> None:
    provider.reply = (
        "Every employee has 28 days of vacation a year [1]. They lapse in May [9]. See [x](http://evil.example)."
    )
    answer, events = await office.ask(office.services(provider.settings("ok")), "How many vacation days?")
    assert shown(events) == answer.text
    assert "[9]" not in answer.text
    assert "evil" not in answer.text
    assert [c.n for c in answer.citations] == [1]
    assert answer.receipt.prompts[0].name == "answer"
    assert answer.receipt.cost_nano > 0


async def test_a_judge_is_asked_about_doubtful_statements_and_stands_in_the_receipt(
    office: Office, provider: Provider
) -> None:
    def obey(messages: list[dict[str, Any]]) -> str:
        if "<statements>" in messages[-1]["content"]:
            return '{"verdicts": [{"n": 1, "supported": false, "why": "It says nothing of holidays abroad."}]}'
        return "Every colleague may spend vacation days abroad with the family [1]."

    provider.obey = obey
    answer, _ = await office.ask(
        office.services(provider.settings("ok", tier="small"), judge=True), "How many vacation days?"
    )
    (checked,) = answer.receipt.verification
    assert (checked.verdict, checked.reason) == (Verdict.UNSUPPORTED, "It says nothing of holidays abroad.")
    assert [p.name for p in answer.receipt.prompts] == ["answer", "judge"]
    assert {a.feature for a in answer.receipt.attempts} >= {"answer", "judge"}


@pytest.mark.parametrize(
    ("verdict", "level"),
    [
        ('{"answers": "yes"}', Level.ANSWERED),
        ('{"answers": "partly"}', Level.WEAK),
        ('{"answers": "no"}', Level.DECLINED),
        ("perhaps", Level.WEAK),
    ],
)
async def test_a_model_as_judge_decides_what_weak_evidence_is_worth(
    office: Office, provider: Provider, verdict: str, level: Level
) -> None:
    def obey(messages: list[dict[str, Any]]) -> str:
        return verdict if "whether the passages answer" in str(messages) else "28 days of vacation a year [1]."

    provider.obey = obey
    services = office.services(
        provider.settings("ok", tier="small"), judge=True, weak_threshold=0.0, answer_threshold=1.0
    )
    answer, _ = await office.ask(services, "How many vacation days has every employee?")
    assert answer.receipt.decision.level is level
    assert answer.abstained is (level is Level.DECLINED)
    assert answer.receipt.prompts[0].name == "enough"


async def test_a_provider_that_breaks_off_is_replaced_by_a_marked_clean_restart(
    office: Office, provider: Provider
) -> None:
    answer, events = await office.ask(office.services(provider.settings("cut", "ok")), "How many vacation days?")
    assert sum(isinstance(e, Restart) for e in events) == 1
    assert shown(events) == answer.text == provider.reply
    assert answer.receipt.restarts == 1
    assert [a.outcome for a in answer.receipt.attempts if a.feature == "answer"][-1] == "ok"


async def test_a_spent_budget_still_answers_with_quotations(office: Office, provider: Provider) -> None:
    services = office.services(provider.settings("ok"), dollars_per_person_day=0.0)
    answer, _ = await office.ask(services, "How many vacation days has every employee?")
    assert "28 days" in answer.text
    assert "budget" in answer.text
    assert provider.calls == {}


async def test_a_refused_question_is_kept_and_answered_with_a_sentence(office: Office) -> None:
    answer, _ = await office.ask(office.services(), "x" * 5_000)
    assert "5,000 characters" in answer.text
    opened = await threads.reopen(office.index.db, office.ada, answer.thread)
    assert [m.text for m in opened.messages] == ["x" * 5_000, answer.text]


async def test_without_an_index_it_says_so_and_keeps_the_question(index: Index) -> None:
    ada = people.asker_of(await people.add(index.db, "ada@example.test"))
    office = Office(index, ada, ada)
    answer, _ = await office.ask(office.services(), "How many vacation days?")
    assert "no index" in answer.text
    assert answer.abstained


async def test_thanks_need_no_search(office: Office) -> None:
    answer, _ = await office.ask(office.services(), "Thanks a lot!")
    assert answer.receipt.passages == ()
    assert not answer.abstained


async def test_passages_that_contradict_each_other_are_shown_with_their_dates_and_the_newer_one_is_named(
    office: Office,
) -> None:
    await office.index.sync(
        {
            "old.md": "---\ntitle: Travel policy 2023\ndate: 2023-04-14\n---\n\n"
            "A hotel night in London may cost at most 140 pounds.\n",
            "new.md": "---\ntitle: Travel and expenses policy\ndate: 2026-02-02\n---\n\n"
            "A hotel night in London may cost at most 175 pounds.\n",
        }
    )
    answer, _ = await office.ask(office.services(), "What may a hotel night in London cost at most?")
    assert "Our documents contradict each other" in answer.text
    assert "“Travel and expenses policy” (2 February 2026) says 175 GBP" in answer.text
    assert "“Travel policy 2023” (14 April 2023) says 140 GBP" in answer.text
    assert answer.receipt.passages[0].document == "new.md"
    steps = office.settings.chat.steps.model_copy(update={"contradictions": False})
    silent, _ = await office.ask(office.services(steps=steps), "What may a hotel night in London cost at most?")
    assert "contradict" not in silent.text
    # Somebody who looks after the documents says that they do not.
    (pair,) = (await disputed.listed(office.index.db, None)).pairs
    async with office.index.db.write() as session:
        await disputed.dismiss(session, pair.id)
    dismissed, _ = await office.ask(office.services(), "What may a hotel night in London cost at most?")
    assert "175 pounds" in dismissed.text
    assert "contradict" not in dismissed.text


async def test_a_filter_said_in_words_restricts_the_search_and_can_be_let_go(office: Office) -> None:
    services = office.services(weak_threshold=0.0, answer_threshold=0.0)
    answer, _ = await office.ask(services, "What is the number of years in the laptop policy?")
    assert {p.document for p in answer.receipt.passages} == {"laptops.md"}
    assert "in the laptop policy" in answer.receipt.filtered
    assert "Searched only what you named" in answer.text
    (everywhere,) = answer.choices
    assert everywhere.question == "What is the number of years?"
    again, _ = await office.ask(services, everywhere.question)
    assert (again.receipt.filtered, len(again.receipt.passages)) == ("", 2)


async def test_a_filter_that_finds_nothing_is_let_go_and_said_so(office: Office) -> None:
    answer, _ = await office.ask(office.services(), "What does the laptop policy of 2019 say about vacation days?")
    assert answer.receipt.filtered == ""
    assert "laptop policy of 2019” answers this, so I searched all documents" in answer.text
    assert "28 days of vacation" in answer.text


async def test_a_filter_that_names_a_hidden_document_is_part_of_the_question(office: Office) -> None:
    answer, _ = await office.ask(office.services(), "How many vacation days in the finance documents?")
    assert (answer.receipt.filtered, "searched all" in answer.text) == ("", False)
    allowed, _ = await office.ask(office.services(), "What is the moon budget in the finance documents?", office.fin)
    assert {p.document for p in allowed.receipt.passages} == {"finance/budget.md"}


async def test_somebody_elses_thread_is_refused_before_anything_is_stored(office: Office) -> None:
    services = office.services()
    answer, _ = await office.ask(services, "How many vacation days has every employee?")
    with pytest.raises(NotFoundError):
        await office.ask(services, "and me?", office.fin, thread=answer.thread)
    assert len((await threads.reopen(office.index.db, office.ada, answer.thread)).messages) == 2


async def test_an_answer_that_is_stopped_within_code_is_kept_with_the_code_ended(
    office: Office, provider: Provider
) -> None:
    provider.pause_s = 0.1
    provider.reply = "Ask for vacation like this [1]:\n```sh\n" + "leave --days 28\n" * 20
    turns = Turns(office.services(provider.settings("ok")))
    turn = turns.start(office.ada, str(uuid4()), str(uuid4()), str(uuid4()), "How many vacation days?")
    seen: list[Event] = []
    async for event in turn.events():
        seen.append(event)
        if isinstance(event, Delta) and "leave --days" in event.text:
            turn.stop()
    assert isinstance(seen[-1], Final)
    assert seen[-1].answer.receipt.outcome == "stopped"
    assert "leave --days 28\n" in seen[-1].answer.text
    assert seen[-1].answer.text.endswith("\n```")


async def test_a_stopped_answer_is_kept_as_far_as_it_was_shown(office: Office, provider: Provider) -> None:
    provider.pause_s = 0.1
    provider.reply = "Every employee has 28 days of vacation a year [1]. " * 5
    turns = Turns(office.services(provider.settings("ok")))
    thread = str(uuid4())
    turn = turns.start(office.ada, thread, str(uuid4()), str(uuid4()), "How many vacation days?")
    seen: list[Event] = []
    async for event in turn.events():
        seen.append(event)
        if isinstance(event, Delta):
            turn.stop()
    assert isinstance(seen[-1], Final)
    assert seen[-1].answer.receipt.outcome == "stopped"
    messages = (await threads.reopen(office.index.db, office.ada, thread)).messages
    assert messages[-1].state == "stopped"
    assert 0 < len(messages[-1].text) < len(provider.reply)
    await asyncio.sleep(0)
    assert turns.running(thread) is None


@pytest.mark.parametrize("tier", ["strong", "small"])
async def test_what_a_follow_up_leans_on_is_read_while_the_person_reads(
    office: Office, provider: Provider, monkeypatch: pytest.MonkeyPatch, tier: str
) -> None:
    read: list[str] = []
    asked = office.index.embedder.asked

    async def noted(question: str) -> Any:
        read.append(question)
        return await asked(question)

    monkeypatch.setattr(office.index.embedder, "asked", noted)
    turns = Turns(office.services(provider.settings("ok", tier=tier)))
    turn = turns.start(office.ada, str(uuid4()), str(uuid4()), str(uuid4()), "How many vacation days?")
    await turn.wait()
    await asyncio.sleep(0)
    await asyncio.gather(*turns._afterwards)
    # A model that rewrites follow-ups needs no reading of the answer before.
    assert (provider.reply[:300] in read) is (tier == "strong")


@pytest.mark.parametrize("stops_before", [0, 1])
async def test_a_stop_while_the_answer_is_being_stored_still_ends_with_it(
    office: Office, provider: Provider, monkeypatch: pytest.MonkeyPatch, stops_before: int
) -> None:
    storing, store = asyncio.Event(), threads.close_turn

    async def slowly(*turn: Any) -> None:
        storing.set()
        await asyncio.sleep(0.05)
        await store(*turn)

    monkeypatch.setattr(threads, "close_turn", slowly)
    provider.pause_s = 0.05
    turns, thread = Turns(office.services(provider.settings("ok"))), str(uuid4())
    turn = turns.start(office.ada, thread, str(uuid4()), str(uuid4()), "How many vacation days?")
    async for event in turn.events():
        if isinstance(event, Delta):
            break
    for _ in range(stops_before):
        turn.stop()
    await storing.wait()
    turn.stop()
    last = [e async for e in turn.events()][-1]
    assert isinstance(last, Final)
    assert last.answer.receipt.outcome == ("stopped" if stops_before else "complete")
    messages = (await threads.reopen(office.index.db, office.ada, thread)).messages
    assert (messages[-1].state, messages[-1].text) == (last.answer.receipt.outcome, last.answer.text)


async def test_whoever_follows_late_sees_the_answer_from_its_start(office: Office, provider: Provider) -> None:
    provider.pause_s = 0.03
    turns = Turns(office.services(provider.settings("ok")))
    turn = turns.start(office.ada, str(uuid4()), str(uuid4()), str(uuid4()), "How many vacation days?")
    async for event in turn.events():
        if isinstance(event, Delta):
            break
    late = [e async for e in turn.events()]
    assert shown(late) == provider.reply


async def test_closing_the_server_marks_running_answers_as_interrupted(office: Office, provider: Provider) -> None:
    provider.pause_s = 0.2
    turns = Turns(office.services(provider.settings("ok")))
    thread = str(uuid4())
    turn = turns.start(office.ada, thread, str(uuid4()), str(uuid4()), "How many vacation days?")
    async for event in turn.events():
        if isinstance(event, Delta):
            break
    await turns.close()
    assert (await threads.reopen(office.index.db, office.ada, thread)).messages[-1].state == "interrupted"


async def test_llama_index_can_drive_it_as_any_chat_engine(office: Office) -> None:
    engine = KnowledgeChatEngine(office.services(), office.ada, str(uuid4()))
    reply = await engine.achat("How many vacation days has every employee?")
    assert "28 days" in reply.response
    stream = await engine.astream_chat("When do unused vacation days lapse?")
    text = "".join([t async for t in stream.async_response_gen()])
    assert "31 March" in text
    assert [m.role for m in engine.chat_history] == ["user", "assistant", "user", "assistant"]
    engine.reset()
    assert engine.chat_history == []


async def test_a_stream_that_cannot_begin_ends_with_its_error(office: Office) -> None:
    services = office.services()
    answer, _ = await office.ask(services, "How many vacation days has every employee?")
    stream = await KnowledgeChatEngine(services, office.fin, answer.thread).astream_chat("And me?")
    with pytest.raises(NotFoundError):
        async with asyncio.timeout(20):
            _ = [t async for t in stream.async_response_gen()]


async def test_a_prompt_says_which_tier_its_work_is_for(office: Office, provider: Provider) -> None:
    services, thread = office.services(provider.settings("ok", tier="strong")), str(uuid4())
    for tier, asked in (("small", set()), ("strong", {"strong"})):
        services.prompts["rewrite"] = replace(services.prompts["rewrite"], tier=tier)
        await office.ask(services, "How many vacation days has every employee?", thread=thread)
        answer, _ = await office.ask(services, "And when do they lapse?", thread=thread)
        assert {a.tier for a in answer.receipt.attempts if a.feature == "rewrite"} == asked


async def test_a_turn_knows_nothing_of_what_the_one_before_found(office: Office) -> None:
    services = office.services(answer_threshold=1.0, weak_threshold=1.0)
    engine = KnowledgeChatEngine(services, office.ada, str(uuid4()))
    async for _ in engine.turn("How many vacation days has every employee?", str(uuid4()), str(uuid4())):
        pass
    assert engine.answer is not None
    assert "leave.md" in {n.document for n in engine.answer.nearest}
    async for _ in engine.turn("?!", str(uuid4()), str(uuid4())):
        pass
    assert engine.answer.abstained
    assert engine.answer.nearest == ()


@pytest.mark.parametrize(("minutes", "said"), [(0, "a moment ago"), (1, "a minute ago"), (3, "3 minutes ago")])
async def test_an_answer_given_again_says_how_long_ago_it_was_given(
    office: Office, monkeypatch: pytest.MonkeyPatch, minutes: int, said: str
) -> None:
    services = office.services()
    first, _ = await office.ask(services, "How many vacation days has every employee?")
    clock = time.monotonic
    monkeypatch.setattr(cache, "time", SimpleNamespace(monotonic=lambda: clock() + 60 * minutes))
    repeated, _ = await office.ask(services, "How many vacation days has every employee?")
    assert f"Answered {said}, from the same passages." in repeated.text
    assert repeated.text.endswith(first.text)


async def test_the_same_question_is_answered_again_at_once_and_says_so(office: Office) -> None:
    services = office.services()
    first, _ = await office.ask(services, "How many vacation days has every employee?")
    repeated, events = await office.ask(services, "how many VACATION days does every employee have")
    assert (first.receipt.cache, repeated.receipt.cache) == ("miss", "hit")
    assert repeated.receipt.attempts == ()
    assert "write" not in [e.name for e in events if isinstance(e, Stage)]
    assert repeated.text.endswith(first.text)
    assert "Answered a moment ago" in repeated.text
    assert repeated.citations == first.citations
    assert [repeated.text[c.start : c.end] for c in repeated.receipt.verification] == [
        first.text[c.start : c.end] for c in first.receipt.verification
    ]


async def test_an_answer_with_something_unsupported_in_it_is_not_given_again(
    office: Office, provider: Provider
) -> None:
    services = office.services(provider.settings("ok"), **LENIENT)
    question = "How many vacation days has every employee?"
    for _ in range(2):
        answer, _ = await office.ask(services, question)
        assert any(c.verdict is Verdict.UNSUPPORTED for c in answer.receipt.verification)
        assert answer.receipt.cache == "miss"


async def test_an_answer_of_somebody_with_other_rights_is_never_given_again(office: Office) -> None:
    services = office.services()
    allowed, _ = await office.ask(services, "What is the secret budget for the moon project?", office.fin)
    other, _ = await office.ask(services, "What is the secret budget for the moon project?")
    assert allowed.receipt.cache == other.receipt.cache == "miss"
    assert "budget.md" not in other.model_dump_json()


async def test_a_new_release_or_asking_again_brings_a_new_answer(office: Office) -> None:
    services = office.services()
    question = "How many vacation days has every employee?"
    thread, asked = str(uuid4()), str(uuid4())
    engine = KnowledgeChatEngine(services, office.ada, thread)
    async for _ in engine.turn(question, asked, str(uuid4())):
        pass
    # “Answer again” answers the question that is stored; an edit puts a new one beside it.
    for number, beside in ((asked, ""), (str(uuid4()), asked)):
        again = KnowledgeChatEngine(services, office.ada, thread)
        async for _ in again.turn(question, number, str(uuid4()), beside=beside):
            pass
        assert again.answer is not None
        assert again.answer.receipt.cache == "off"
    await office.index.sync({"new.md": "# News\n\nNothing of note."})
    newer, _ = await office.ask(services, question)
    assert newer.receipt.cache == "miss"


async def test_a_follow_up_is_never_answered_from_another_thread(office: Office) -> None:
    services = office.services()
    thread = str(uuid4())
    await office.ask(services, "How many vacation days has every employee?", thread=thread)
    second, _ = await office.ask(services, "How many vacation days has every employee?", thread=thread)
    assert second.receipt.cache == "off"


async def test_a_source_past_its_date_is_said_to_be(office: Office) -> None:
    await office.index.sync(
        {"parking.md": "---\nvalid_until: 2024-12-31\n---\n# Parking\n\nParking in the yard costs 12 euros a month.\n"}
    )
    answer, _ = await office.ask(office.services(**LENIENT), "What does parking in the yard cost a month?")
    assert "12 euros" in answer.text
    assert "“Parking” was valid until 31 December 2024" in answer.text
    other, _ = await office.ask(office.services(**LENIENT), "How many vacation days has every employee?")
    assert "was valid until" not in other.text


async def test_questions_to_several_processes_count_together(office: Office) -> None:
    """Two servers of one installation share nothing but the database."""
    one, two = (office.services(questions_per_minute=8) for _ in range(2))
    answers = [(await office.ask(one if i % 2 else two, f"vacation days? {i}"))[0] for i in range(9)]
    refused = [a.receipt.decision.reason for a in answers]
    assert "LimitError" not in refused[:8]
    assert refused[8] == "LimitError"
    assert (await office.ask(one, "vacation days?", who=office.fin))[0].receipt.decision.reason != "LimitError"
