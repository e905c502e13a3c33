"""A receipt in an employee's words: the line under the answer, and the fold with its figures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from assistant.database.engine import Database
from assistant.domain import NANO, Receipt, ToolUse, Verdict
from assistant.ops import latency
from assistant.settings import StepBudgets
from assistant.texts import day, figure, say

SHOWN_CHARS = 160
_PAGE = re.compile(r"page (\d+)(?= · |$)")


def duration(language: str, ms: float) -> str:
    return f"{figure(language, ms)} ms" if ms < 1000 else f"{figure(language, ms / 1000, 1)} s"


def place(language: str, label: str) -> str:
    """Where a passage stands, as `Place.label` and receipts say it in English, in a person's language."""
    found = _PAGE.match(label)
    head = say(language, "web.place_page", n=found[1]) if found else ""
    rest = label[found.end() :] if found else label
    # A sheet comes first, or right behind the page: what follows are headings, in the words of the document.
    start = len(" · ") if head and rest else 0
    if rest.startswith("sheet ", start):
        rest = f"{rest[:start]}{say(language, 'web.place_sheet')} {rest[start + len('sheet ') :]}"
    return head + rest


def money(language: str, nano: int) -> str:
    dollars = nano / NANO
    return f"${figure(language, dollars, 4 if dollars < 1 else 2)}"


@dataclass(frozen=True)
class Usual:
    """What 95 of 100 answers take at most, where that is known, and what they should; milliseconds."""

    first: float | None
    whole: float | None
    first_budget: int
    whole_budget: int


async def usual(db: Database, budgets: StepBudgets) -> Usual:
    """As it was measured last."""
    found = await latency.figures(db)
    first, whole = (found[n].p95 if n in found else None for n in (latency.FIRST_WORD, latency.WHOLE))
    return Usual(first, whole, budgets.first_word, budgets.answer)


def _how_fast(receipt: Receipt, language: str, usual: Usual) -> str:
    parts = []
    if receipt.ms_first is not None:
        parts.append(say(language, "web.first_word", ms=duration(language, receipt.ms_first)))
    late = receipt.ms > usual.whole_budget or (receipt.ms_first or 0) > usual.first_budget
    parts.append(say(language, "web.slower" if late else "web.fast_enough"))
    for key, p95, budget in (
        ("web.usual_first", usual.first, usual.first_budget),
        ("web.usual_whole", usual.whole, usual.whole_budget),
    ):
        if p95 is not None:
            parts.append(say(language, key, p95=duration(language, p95), budget=duration(language, budget)))
    return "; ".join(parts)


def _step_ms(receipt: Receipt, *names: str) -> float:
    return sum(s.ms for s in receipt.steps if s.name in names)


def line(receipt: Receipt, language: str) -> list[dict[str, str]]:
    """The words under an answer: what was checked, what was not found, how many sources, how long."""
    parts: list[dict[str, str]] = []
    checked = [s for s in receipt.verification if s.verdict is not Verdict.UNCITED]
    good = sum(s.verdict is Verdict.SUPPORTED for s in checked)
    if checked and good == len(checked) and receipt.quoted:
        # That a quotation stands in its source tells nothing of whether it answers.
        parts.append({"text": say(language, "web.word_for_word"), "tone": "plain"})
    elif checked:
        key = "web.checked_all" if good == len(checked) else "web.checked_some"
        tone = "good" if good == len(checked) else "partly"
        parts.append({"text": say(language, key, good=good, all=len(checked)), "tone": tone})
        if good < len(checked):
            parts.append({"text": say(language, "web.not_found", n=len(checked) - good), "tone": "warn"})
    cited = sum(p.cited for p in receipt.passages)
    took = duration(language, receipt.ms)
    if cited:
        key = "web.one_source" if cited == 1 else "web.sources"
        parts.append({"text": f"{say(language, key, n=cited)} · {took}", "tone": "plain"})
    else:
        parts.append({"text": took, "tone": "plain"})
    if receipt.passages or receipt.attempts:
        # How sure, and what it cost.
        parts.append({"text": say(language, f"web.sure_{receipt.decision.level}"), "tone": "plain"})
        parts.append({"text": money(language, receipt.cost_nano) if receipt.cost_nano else "$0", "tone": "plain"})
    return parts


def _model(receipt: Receipt, language: str) -> str:
    chats = [a for a in receipt.attempts if a.kind == "chat" and a.feature == "answer"]
    if not chats:
        return say(language, "web.model_none")
    last = chats[-1]
    name = last.model_served or last.model_asked
    if receipt.quoted:
        who = say(language, "web.model_quotes")
    else:
        who = say(language, f"web.model_{last.tier or 'small'}", model=name)
    failed = sum(a.outcome != "ok" for a in chats)
    return f"{who}; {say(language, 'web.model_replaced', n=failed)}" if failed and last.outcome == "ok" else who


def _tool(use: ToolUse, language: str) -> str:
    what = ", ".join(say(language, "chat.named", text=v) for v in use.arguments.values())
    name = say(language, f"web.tool_{use.name}") if use.name != "unknown" else "?"
    found = say(language, f"web.looked_{use.outcome}", n=len(use.documents))
    return f"{name} {what}: {found}"


def _checked(receipt: Receipt, language: str) -> str:
    good = sum(s.verdict is Verdict.SUPPORTED for s in receipt.verification)
    bad = sum(s.verdict is Verdict.UNSUPPORTED for s in receipt.verification)
    if not (good or bad):
        return say(language, "web.checked_nothing")
    return say(language, "web.checked_row", good=good, bad=bad)


def rows(receipt: Receipt, language: str, activated: datetime | None, usual: Usual) -> list[list[str]]:
    """The fold's rows: what it is, what it was, and its figure if it has one."""
    searched = receipt.searched if len(receipt.searched) <= SHOWN_CHARS else receipt.searched[:SHOWN_CHARS] + "…"
    if receipt.fused_with:
        searched += f" ({say(language, 'web.with_before')})"
    if receipt.filtered:
        searched += f" ({say(language, 'web.only_in', what=receipt.filtered)})"
    knowledge = say(language, "web.no_release")
    if receipt.release is not None:
        key = "web.release_of" if activated else "web.release"
        when = day(language, activated) if activated else ""
        knowledge = say(language, key, n=receipt.release, day=when)
    prompts = ", ".join(f"{p.name} {p.version}" for p in receipt.prompts) or say(language, "web.prompt_none")
    found = _step_ms(receipt, "retrieve", "rewrite", "cache")
    wrote = _step_ms(receipt, "generate")
    checked = _step_ms(receipt, "verify")
    cost = say(
        language,
        "web.tokens",
        tokens_in=figure(language, receipt.tokens_in),
        tokens_out=figure(language, receipt.tokens_out),
    )
    looked = [[say(language, "web.row_tools"), _tool(t, language), duration(language, t.ms)] for t in receipt.tools]
    return [
        *looked,
        [say(language, "web.row_searched"), searched or "–", duration(language, found) if found else ""],
        [say(language, "web.row_knowledge"), knowledge, ""],
        [say(language, "web.row_model"), _model(receipt, language), duration(language, wrote) if wrote else ""],
        [say(language, "web.row_prompt"), prompts, ""],
        [say(language, "web.row_checked"), _checked(receipt, language), duration(language, checked) if checked else ""],
        [say(language, "web.row_speed"), _how_fast(receipt, language, usual), duration(language, receipt.ms)],
        [say(language, "web.row_cost"), cost, money(language, receipt.cost_nano)],
    ]
