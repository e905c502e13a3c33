# ruff: noqa: E501 - the forms are easier to compare on one line each
"""Forms in which a text may lead out of a page or run in it, and what tells whether one did."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from uuid import uuid4

from markdown_it import MarkdownIt
from playwright.sync_api import Page
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow, FeedbackRow, Message, Person, Thread
from tests.web.conftest import Site

renderer = MarkdownIt("commonmark", {"html": True}).enable("table")


class Canary(BaseHTTPRequestHandler):
    hits: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.hits.append(self.path)
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def canary_server() -> Iterator[str]:
    """Host and port of a server that keeps every request it gets in `Canary.hits`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Canary)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def fetching(host: str) -> list[str]:
    """Forms that make a careless page fetch an address by itself (EchoLeak and its kin)."""
    u = f"http://{host}/leak"
    return [
        f"![x]({u}?1)", f"![x](<{u}?2>)", f"![x][r]\n\n[r]: {u}?3", f"![r]\n\n[r]: {u}?4", f"![x](//{host}/leak?5)",
        f"![x]({u}.mp4?6)", f"![x]({u}.webm)", f"![x]({u}.mov#8)", f"[![x]({u}?9)]({u}?10)",
        f'<img src="{u}?11">', f"<img src={u}?12 onerror=alert(1)>", f'<video src="{u}?13" autoplay></video>',
        f'<audio src="{u}?14" autoplay></audio>', f'<iframe src="{u}?15"></iframe>', f'<object data="{u}?16"></object>',
        f'<embed src="{u}?17">', f'<link rel="stylesheet" href="{u}?18">', f'<link rel="prefetch" href="{u}?19">',
        f"<style>@import url({u}?20);</style>", f'<div style="background:url({u}?21)">x</div>',
        f'<svg><image href="{u}?22"/></svg>', f'<svg><use href="{u}?23#a"/></svg>', f'<base href="{u}?24">',
        f'<meta http-equiv="refresh" content="0;url={u}?25">', f'<form action="{u}?26"><button>x</button></form>',
        f'<script src="{u}?27"></script>', f"<script>fetch('{u}?28')</script>",
        f'<input type="image" src="{u}?29">', f'<picture><source srcset="{u}?30"><img></picture>',
        f'<table background="{u}?31"><tr><td>x</td></tr></table>', f'<body background="{u}?32">',
        f"$$\\href{{{u}?33}}{{x}}$$", f"$\\includegraphics{{{u}?34}}$", f"```mermaid\nflowchart\nclick A \"{u}?35\"\n```",
        f"[^1]\n\n[^1]: ![x]({u}?36)", f"| a |\n|---|\n| ![x]({u}?37) |", f"> ![x]({u}?38)", f"- ![x]({u}?39)",
        f"# ![x]({u}?40)", f"**![x]({u}?41)**", f"~~![x]({u}?42)~~", f":::note\n![x]({u}?43)\n:::",
        f"::video[x]{{src={u}?44}}", f"!\u200b[x]({u}?45)", f"![\u202ex]({u}?46)", f"![x]({u}?47 \"title\")",
        f"![x]( {u}?48 )", f"![x](http:&#47;&#47;{host}/leak?49)", f"![x](http://{host}/%6Ceak?50)",
        f"![x](HTTP://{host}/leak?51)", f"![x](http://user@{host}/leak?52)", f"![x](\\{u}?53)",
        f"![x](data:text/html,<img src={u}?54>)", f"![x](javascript:fetch('{u}?55'))", f"<{u}?56>", f"{u}?57",
        f"[x]({u}?58)", f'<a href="{u}?59" ping="{u}?59p">x</a>', f"<details open ontoggle=fetch('{u}?60')>x</details>",
        f"![x](/chat/project/file/{u}?61)", f"[1](#source-1) ![1](#source-1) ![x]({u}?62)",
    ]  # fmt: skip


RUNNING = [
    "<script>window.hit=1</script>", "<img src=x onerror=window.hit=1>", "<svg onload=window.hit=1>",
    "<svg><script>window.hit=1</script></svg>", "\"><script>window.hit=1</script>", "'><img src=x onerror=window.hit=1>",
    "</title><script>window.hit=1</script>", "</textarea><script>window.hit=1</script>", "javascript:window.hit=1",
    "[x](javascript:window.hit=1)", "[x](JaVaScRiPt:window.hit=1)", "[x](java\nscript:window.hit=1)",
    "[x](data:text/html,<script>window.hit=1</script>)", "[x](vbscript:window.hit=1)", "<a href=javascript:window.hit=1>x</a>",
    "<body onload=window.hit=1>", "<iframe srcdoc='<script>parent.hit=1</script>'>", "<details open ontoggle=window.hit=1>",
    "<input autofocus onfocus=window.hit=1>", "<marquee onstart=window.hit=1>", "<math><mtext><script>window.hit=1</script>",
    "{{constructor.constructor('window.hit=1')()}}", "${window.hit=1}", "{{7*7}}", "{% raw %}<script>window.hit=1</script>",
    "<x hx-on:load='window.hit=1'>", "<x hx-get='/admin' hx-trigger='load[window.hit=1]'>", "<style>*{x:expression(window.hit=1)}",
    "<object data='javascript:window.hit=1'>", "<embed src='javascript:window.hit=1'>", "<form><button formaction=javascript:window.hit=1>x",
    "<isindex action=javascript:window.hit=1>", "<link rel=import href=data:text/html,<script>window.hit=1</script>>",
    "<meta http-equiv=refresh content='0;javascript:window.hit=1'>", "<template><script>window.hit=1</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=window.hit=1>'>", "<!--><script>window.hit=1</script>-->",
    "<![CDATA[<script>window.hit=1</script>]]>", "\u2028<script>window.hit=1</script>", "&lt;script&gt;window.hit=1&lt;/script&gt;",
]  # fmt: skip


class _Exits(HTMLParser):
    """Collects what a page would link to or load, and the text that stands outside code."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.text = ""
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag in {"code", "pre"}
        self.text += "|"  # what links plain text does so within one run of it
        self.targets += [value or "" for name, value in attrs if name in {"href", "src", "data", "style"}]

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in {"code", "pre"}
        self.text += "|"

    def handle_data(self, data: str) -> None:
        self.text += " " if self._code else data


def leads_out(text: str) -> list[str]:
    """Every address that a Markdown renderer would link to or load."""
    page = _Exits()
    page.feed(renderer.render(text))
    # GitHub's Markdown also links addresses that stand in plain text, but not in code.
    bare = re.findall(r"(?<![a-z0-9])(?:https?://|ftp://|www\.)[^\s<]+", page.text, re.IGNORECASE)
    # How a column is aligned stands in its cells as a style.
    return [a for a in page.targets + bare if not re.fullmatch(r"/documents/\d+|text-align:\w+", a)]


async def store(site: Site, texts: list[str], hostile: list[str]) -> str:
    """A thread with an answer for each text, and hostile titles, paths and comments."""
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.write() as session:
        person = (await session.exec(select(Person).where(Person.email == "root@demo.example"))).one()
        thread = Thread(id=str(uuid4()), person_id=person.id, title=hostile[0])
        session.add(thread)
        await session.flush()
        before = None
        for i, text in enumerate(texts):
            question = Message(
                id=str(uuid4()), thread_id=thread.id, parent_id=before, role="user", text=hostile[i % len(hostile)]
            )
            session.add(question)
            await session.flush()
            answer = Message(
                id=str(uuid4()),
                thread_id=thread.id,
                parent_id=question.id,
                role="assistant",
                text=text,
                state="complete",
            )
            session.add(answer)
            await session.flush()
            before = answer.id
            if i < len(hostile):
                session.add(FeedbackRow(message_id=answer.id, person_id=person.id, value=0, comment=hostile[i]))
        for i, text in enumerate(hostile):
            path = f"{i}-{text}"
            session.add(
                DocumentRow(source="demo", path=path, title=text, rule_id=1, state="failed", reason=text, owner=text)
            )
    await db.close()
    return thread.id


def read_through(page: Page, site: Site, thread: str, answers: int) -> None:
    """Open a thread and bring each of its answers into view, as a person who reads it all."""
    page.goto(f"{site.base}/chat/thread/{thread}")
    page.locator(".ai-message").nth(answers - 1).wait_for(timeout=60_000)
    page.evaluate(
        "document.querySelectorAll('[id^=step-]').forEach((s, i) => setTimeout(() => s.scrollIntoView(), i * 15))"
    )
    page.wait_for_timeout(4_000)
