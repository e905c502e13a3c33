"""A site on this machine, served by a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from email.utils import format_datetime
from hashlib import sha256
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from assistant.domain import now
from assistant.errors import InputError, ParseError
from assistant.index.sources.origin import Found
from assistant.index.sources.website import Website
from assistant.settings import Source
from tests.fakes.serve import standing_in
from tests.index.conftest import Index, asker

pytestmark = pytest.mark.usefixtures("in_process")
MB = 1_000_000


class Site:
    """Pages by path, with what was asked for. A status stands for a page that fails, `>` for where one leads."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.types: dict[str, str] = {}
        self.asked: list[tuple[str, int]] = []
        self.changed = format_datetime(now(), usegmt=True)
        self.app = Starlette(routes=[Route("/{path:path}", self._page)])
        self.base = ""

    async def _page(self, request: Request) -> Response:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        answer = self._answer(path, request)
        self.asked.append((path, answer.status_code))
        return answer

    def _answer(self, path: str, request: Request) -> Response:
        page = self.pages.get(path, 404)
        if isinstance(page, int):
            return Response(status_code=page)
        if page.startswith(">"):
            return RedirectResponse(page[1:])
        etag = f'"{sha256(page.encode()).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304)
        headers = {"etag": etag, "last-modified": self.changed}
        return Response(page, media_type=self.types.get(path, "text/html"), headers=headers)

    def source(self, **more: Any) -> Source:
        given = {"name": "wiki", "kind": "web", "url": f"{self.base}/", "delay_s": 0, "allow_private": True}
        return Source.model_validate({**given, **more})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with standing_in(Site()) as made:
        yield made


def html(title: str, text: str, *links: str, head: str = "") -> str:
    nav = "".join(f'<a href="{link}">x</a>' for link in links)
    return (
        f"<!doctype html><html><head><title>{title}</title>{head}</head><body><header><nav>{nav}</nav></header>"
        f"<div class=cookies>We use cookies.</div><main><h1>{title}</h1><p>{text}</p></main></body></html>"
    )


async def listed(index: Index, source: Source, limit: int = 50 * MB) -> dict[str, Found]:
    website = Website(source, index.home / "sources" / source.name, limit)
    return {f.path: f for f in await asyncio.to_thread(lambda: list(website.documents()))}


async def test_pages_are_found_by_their_links_within_the_host_alone(index: Index, site: Site) -> None:
    other = site.base.replace("127.0.0.1", "localhost")
    site.pages = {
        "/": html(
            "Start", "Welcome.", "a", "/b/?q=1#part", f"{other}/c", "mailto:x@y.example", "javascript:x()", "//["
        ),
        "/a": html("A", "Text of a.", "/deep/ü page"),
        "/b/?q=1": html("B", "Text of b.", "/", "/hidden", "/gone"),
        "/deep/ü page": html("Deep", "Text.", "/never", head='<meta name=robots content="nofollow">'),
        "/hidden": html("Hidden", "Text.", head='<meta name="ROBOTS" content="noindex">'),
        "/c": html("C", "Text."),
    }
    found = await listed(index, site.source())
    assert set(found) == {"/", "a", "b/?q=1", "deep/ü page"}
    assert found["a"].link == f"{site.base}/a"
    assert found["a"].modified is not None
    assert {p for p, _ in site.asked} >= {"/robots.txt", "/hidden", "/gone"}
    assert "/never" not in {p for p, _ in site.asked}
    assert set(await listed(index, site.source(exclude=["b/**"]))) == {"/", "a", "deep/ü page"}


async def test_robots_txt_is_respected_and_its_failure_stops_the_reading(index: Index, site: Site) -> None:
    site.pages = {
        "/robots.txt": "User-agent: *\nDisallow: /private\nDisallow: /*.pdf$\n",
        "/": html("Start", "x", "/private/a", "/b.pdf", "/c"), "/private/a": html("P", "x"), "/b.pdf": "x",
        "/c": html("C", "x"),
    }  # fmt: skip
    site.types["/robots.txt"] = "text/plain"
    assert set(await listed(index, site.source())) == {"/", "c"}
    assert not {"/private/a", "/b.pdf"} & {p for p, _ in site.asked}
    site.pages["/robots.txt"] = "User-agent: *\nDisallow: /"
    with pytest.raises(InputError, match="forbids"):
        await listed(index, site.source())
    site.pages["/robots.txt"] = 503
    with pytest.raises(InputError, match="answers 503"):
        await listed(index, site.source())


async def test_requests_keep_the_distance_that_the_site_wants(index: Index, site: Site) -> None:
    site.pages = {
        "/robots.txt": "User-agent: *\nCrawl-delay: 7", "/": html("S", "x", "/a"), "/a": html("A", "x")
    }  # fmt: skip
    waits: list[float] = []
    website = Website(site.source(), index.home / "own", sleep=waits.append)
    await asyncio.to_thread(lambda: list(website.documents()))
    assert [round(w) for w in waits] == [0, 7, 7]


async def test_the_second_run_asks_only_whether_pages_changed(index: Index, site: Site) -> None:
    site.pages = {"/": html("Start", "Welcome here.", "/a", "/b"), "/a": html("A", "Days of holiday: thirty."),
                  "/b": html("B", "Trains.")}  # fmt: skip
    source = site.source()
    assert (await index.sync(None, source)).added == 3
    passages = (await index.knowledge.search(asker(), "holiday thirty", 3)).passages
    assert passages[0].document == "a"
    assert "cookies" not in passages[0].text
    assert (await index.knowledge.passage(asker(), passages[0].id)).link == f"{site.base}/a"
    site.asked.clear()
    again = await index.sync(None, source)
    assert (again.unchanged, again.embedded) == (3, 0)
    assert sorted(status for _, status in site.asked) == [304, 304, 304, 404]
    site.pages |= {"/a": html("A", "Days of holiday: forty."), "/b": 404}
    changed = await index.sync(None, source)
    assert (changed.changed, changed.removed, changed.unchanged) == (1, 1, 1)


async def test_a_page_that_fails_for_once_stays_and_a_site_that_fails_loses_nothing(index: Index, site: Site) -> None:
    site.pages = {"/": html("Start", "Welcome.", "/a", "/new"), "/a": html("A", "Holiday.")}
    source = site.source()
    await index.sync(None, source)
    site.pages |= {"/a": 500, "/new": 500}
    report = await index.sync(None, source)
    assert [f["reason"] for f in report.failed] == ["the site answers 500"]
    assert (report.removed, report.unchanged) == (0, 2)
    site.pages["/"] = 500
    report = await index.sync(None, source)
    assert report.removed == 0
    assert "a" in await index.found("holiday")
    gone = source.model_copy(update={"url": "http://127.0.0.1:9/"})
    with pytest.raises(InputError, match="The site of wiki cannot be read"):
        await index.sync(None, gone)
    assert "a" in await index.found("holiday")


async def test_a_sitemap_names_the_pages_and_those_of_other_hosts_are_left_out(index: Index, site: Site) -> None:
    site.pages = {
        "/sitemap.xml": f"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><sitemapindex "
        f"xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><sitemap><loc>{site.base}/one.xml</loc></sitemap>"
        "<sitemap><loc>&e;</loc></sitemap></sitemapindex>",
        "/one.xml": f"<urlset><url><loc>{site.base}/a</loc></url><url><loc>http://other.example/b</loc></url>"
        f"<url><loc>{site.base}/two</loc></url></urlset>",
        "/a": html("A", "x", "/not-named"), "/two": "# Two\n\nMarkdown.", "/not-named": html("N", "x"),
    }  # fmt: skip
    site.types["/two"] = "text/markdown"
    assert set(await listed(index, site.source(url=f"{site.base}/sitemap.xml"))) == {"a", "two"}


async def test_pages_beyond_the_limits_are_left_out_and_it_is_said(index: Index, site: Site) -> None:
    site.pages = {"/": html("S", "x", *(f"/{n}" for n in range(20))), **{f"/{n}": html(str(n), "x") for n in range(20)}}
    website = Website(site.source(max_pages=5), index.home / "own")
    assert len(await asyncio.to_thread(lambda: list(website.documents()))) == 5
    assert "only 5 of its pages are read" in website.note
    site.pages = {"/": html("S", "x", "/large"), "/large": "x" * 50_000}
    found = await listed(index, site.source(), limit=20_000)
    assert "larger than" in found["large"].problem
    many = [f"/{n}{'x' * 1_000}" for n in range(2_000)]
    site.pages = {"/": html("S", "x", *many)}
    source = site.source(max_pages=3)
    await listed(index, source)
    assert Website(source, index.home / "sources" / "wiki").read("/", 10 * MB).data


@pytest.mark.parametrize(
    "target", ["http://localhost:{port}/secret", "http://169.254.169.254/", "//evil.example/", "/b"]
)
async def test_a_redirect_counts_within_the_host_alone(index: Index, site: Site, target: str) -> None:
    port = site.base.rsplit(":", 1)[1]
    site.pages = {
        "/": html("S", "x", "/a"), "/a": ">" + target.format(port=port), "/b": html("B", "x"), "/secret": html("X", "x")
    }  # fmt: skip
    found = await listed(index, site.source())
    assert set(found) == ({"/", "b"} if target == "/b" else {"/"})
    assert "/secret" not in {p for p, _ in site.asked}


async def test_a_site_of_the_internal_network_is_not_asked_unless_it_is_allowed(index: Index, site: Site) -> None:
    site.pages = {"/": html("S", "x")}
    with pytest.raises(InputError, match="internal network"):
        await listed(index, site.source(allow_private=False))
    assert site.asked == []


async def test_what_is_kept_of_a_page_is_read_by_its_path_alone(index: Index, site: Site) -> None:
    site.pages = {"/": html("S", "x", "/a%2Fb"), "/a/b": html("B", "x"), "/a%2Fb": html("B", "x")}
    await listed(index, site.source())
    website = Website(site.source(), index.home / "sources" / "wiki")
    assert website.read("/", MB).name.endswith(".html")
    assert website.read("a%2Fb", MB).data
    for path in ("../../assistant.db", "none", "/etc/passwd", "a/../b"):
        with pytest.raises(ParseError):
            website.read(path, MB)
