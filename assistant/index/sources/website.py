"""A web site: the pages of a sitemap, or what links lead to within one host. Pages are kept, and asked for again only
when they changed; robots.txt is respected."""

from __future__ import annotations

import re
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

import httpx
from lxml import etree, html
from protego import Protego

from assistant.errors import InputError, ParseError
from assistant.index.page import decode
from assistant.index.sources import kept, kinds
from assistant.index.sources.guarded import GuardedTransport
from assistant.index.sources.origin import File, Found, fingerprint, wanted
from assistant.settings import Source

AGENT = "assistant-indexer"
TIMEOUT_S = 20
# A page that drips its bytes is given up after so long.
PAGE_S = 60
SITEMAPS = 50
MOST_DELAY_S = 30.0
_MAP_BYTES = 50_000_000
_LINK_CHARS = 300_000
# A larger page is indexed, but its links are not looked for: that is done outside of the watched workers.
_LINKED_BYTES = 5_000_000
_ESCAPED = re.compile("%(2f|3f|23|25|0|1)", re.IGNORECASE)


class _Page:
    """What asking for a page brought: its bytes and head, `gone`, unchanged, or a problem."""

    def __init__(
        self, url: str, head: dict[str, Any] | None = None, data: bytes = b"", problem: str = "", gone: bool = False
    ) -> None:
        self.url, self.head, self.data, self.problem, self.gone = url, head, data, problem, gone


class Website:
    """The pages of one host, kept in `own`, a folder of the data folder."""

    def __init__(
        self, source: Source, own: Path, limit: int = 50_000_000, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._source, self._own, self._limit, self._sleep = source, own, limit, sleep
        parts = urlsplit(source.url)
        self._site = (parts.scheme, parts.netloc.lower())
        self._delay = source.delay_s
        self._last = 0.0
        self.note = ""

    def documents(self) -> Iterator[Found]:
        transport = GuardedTransport(self._source.allow_private)
        headers = {"User-Agent": AGENT, "Accept-Encoding": "gzip, identity"}
        with httpx.Client(transport=transport, headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
            try:
                robots = self._robots(client)
                found = list(self._pages(client, robots))
            except (httpx.HTTPError, ParseError) as error:
                raise self._failed(_told(error)) from error
        seen = {kept.file_of(self._own, f.link) for f in found}
        for file, _ in kept.every(self._own):
            if file not in seen:
                kept.remove(file)
        yield from sorted(found, key=lambda f: f.path)

    def read(self, path: str, limit: int) -> File:
        file = kept.file_of(self._own, self._address(path))
        if (head := kept.head(file)) is None:
            raise ParseError("is no longer there")
        return File(kinds.named(path, head["content_type"]), kept.body(file, limit))

    def _failed(self, told: str) -> InputError:
        return InputError(
            f"The site of {self._source.name} cannot be read: {told}.",
            "Correct url of the source, set allow_private for a site of your own network, or try again later.",
        )

    # What a page is called

    def _path(self, url: str) -> str:
        parts = urlsplit(url)
        raw = parts.path.lstrip("/") or "/"
        # What would read as something else when it is written out stays as it is.
        path = raw if _ESCAPED.search(raw) else unquote(raw, errors="strict")
        return f"{path}?{parts.query}" if parts.query else path

    def _address(self, path: str) -> str:
        name, mark, query = path.partition("?")
        name = "" if name == "/" else quote(name, safe="/:@!$&'()*+,;=~-._%")
        return urlunsplit((*self._site, f"/{name}", query if mark else "", ""))

    def _within(self, url: str) -> str:
        """An address in the form that pages are known by; empty for one of another host, or that is none."""
        try:
            parts = urlsplit(url.strip())
            if parts.scheme != self._site[0] or parts.netloc.lower() != self._site[1] or len(url) > 2_000:
                return ""
            return self._address(self._path(urlunsplit((*self._site, parts.path, parts.query, ""))))
        except ValueError:
            return ""

    # Which pages there are

    def _pages(self, client: httpx.Client, robots: Protego) -> Iterator[Found]:
        self._delay = max(self._delay, min(MOST_DELAY_S, robots.crawl_delay(AGENT) or 0.0))
        first = self._source.url
        mapped = urlsplit(first).path.lower().endswith((".xml", ".xml.gz"))
        start = self._within(first)
        waiting = deque(self._mapped(client, robots, first) if mapped else [start])
        known, listed = set(waiting), 0
        while waiting:
            url = waiting.popleft()
            if listed >= self._source.max_pages:
                self.note = f"only {self._source.max_pages:,} of its pages are read; raise max_pages to read more"
                return
            if not robots.can_fetch(url, AGENT):
                if url == start and not mapped:
                    raise self._failed("its robots.txt forbids the first page")
                continue
            listed += 1
            page = self._ask(client, robots, url)
            if url == start and not mapped and page.head is None:
                raise self._failed(page.problem or "its first page is not there")
            if page.gone:
                continue
            if not mapped:
                for link in (page.head or {}).get("links", []):
                    if link not in known:
                        known.add(link)
                        waiting.append(link)
            if (page.head is None or page.head["index"]) and wanted(self._source, self._path(page.url)):
                yield self._found(page)

    def _found(self, page: _Page) -> Found:
        head = page.head or {}
        return Found(
            source=self._source.name,
            path=self._path(page.url),
            size=head.get("size", 0),
            modified=_moment(head.get("last_modified", "")),
            problem="" if head else page.problem,
            mark=head.get("sha256", ""),
            link=page.url,
        )

    def _robots(self, client: httpx.Client) -> Protego:
        answer, data = self._get(client, urlunsplit((*self._site, "/robots.txt", "", "")), {}, 500_000)
        if answer.status_code >= 500:
            raise self._failed(f"its robots.txt answers {answer.status_code}")
        # A site without one lets all be read.
        return Protego.parse(data.decode("utf-8", "replace") if answer.status_code == 200 else "")

    def _mapped(self, client: httpx.Client, robots: Protego, first: str) -> list[str]:
        """The pages that a sitemap names, and those of the sitemaps that it names."""
        maps, seen = deque([first]), {first}
        pages: dict[str, None] = {}
        while maps and len(pages) < self._source.max_pages + 1:
            url = maps.popleft()
            answer, data = self._get(client, url, {}, _MAP_BYTES)
            if answer.status_code != 200:
                raise self._failed(f"its sitemap {url} answers {answer.status_code}")
            for kind, location in _locations(data):
                if not (inside := self._within(urljoin(url, location))):
                    continue
                if kind == "urlset":
                    pages[inside] = None
                elif inside not in seen and len(seen) < SITEMAPS:
                    seen.add(inside)
                    maps.append(inside)
        return list(pages)

    # One page

    def _ask(self, client: httpx.Client, robots: Protego, url: str) -> _Page:
        """A page as it is now: from the site, or what is kept where the site says that it has not changed.

        Where the site fails, what was kept of it before stays.
        """
        before = kept.head(kept.file_of(self._own, url))
        conditions = {}
        if before is not None and before.get("v") == 1:
            conditions = {
                name: before[key]
                for name, key in (("If-None-Match", "etag"), ("If-Modified-Since", "last_modified"))
                if before[key]
            }
        try:
            answer, data = self._get(client, url, conditions, self._limit)
        except (httpx.HTTPError, ParseError) as error:
            return _Page(url, before, problem=_told(error))
        if answer.status_code == 304 and before is not None:
            return _Page(url, before)
        if answer.status_code in {404, 410}:
            return _Page(url, gone=True)
        if answer.is_redirect:
            # Where it leads is a page of its own, if it is one of this host.
            target = self._within(urljoin(url, answer.headers.get("location", "")))
            head = {"links": [target] if target else [], "index": False}
            return _Page(url, head) if target else _Page(url, problem="it leads to another site", gone=True)
        if answer.status_code != 200:
            return _Page(url, before, problem=f"the site answers {answer.status_code}")
        head = {
            "v": 1,
            "url": url,
            "content_type": answer.headers.get("content-type", ""),
            "etag": answer.headers.get("etag", ""),
            "last_modified": answer.headers.get("last-modified", ""),
            "size": len(data),
            "sha256": fingerprint(data),
            **self._directions(url, answer, data),
        }
        if before is None or {**before} != head:
            kept.write(kept.file_of(self._own, url), head, data)
        return _Page(url, head, data)

    def _get(
        self, client: httpx.Client, url: str, conditions: dict[str, str], limit: int
    ) -> tuple[httpx.Response, bytes]:
        """One request, no sooner after the last than the site wants."""
        self._sleep(max(0.0, self._last + self._delay - time.monotonic()))
        began = time.monotonic()
        try:
            with client.stream("GET", url, headers=conditions) as answer:
                parts, size = [], 0
                for part in answer.iter_bytes():
                    size += len(part)
                    if size > limit:
                        raise ParseError("larger than what is read of a page; raise index.max_file_mb to read it")
                    if time.monotonic() - began > PAGE_S:
                        raise ParseError(f"took longer than {PAGE_S} seconds to arrive")
                    parts.append(part)
            return answer, b"".join(parts)
        finally:
            self._last = time.monotonic()

    def _directions(self, url: str, answer: httpx.Response, data: bytes) -> dict[str, Any]:
        """Whether a page wants to be found, and the pages of this host that it leads to."""
        said = answer.headers.get("x-robots-tag", "").lower()
        links: list[str] = []
        if kinds.ending(answer.headers.get("content-type", "")) == ".html" and len(data) <= _LINKED_BYTES:
            tree = _tree(data)
            if tree is not None:
                for meta in tree.iter("meta"):
                    if (meta.get("name") or "").lower() == "robots":
                        said += "," + (meta.get("content") or "").lower()
                base = next((b.get("href") for b in tree.iter("base") if b.get("href")), "")
                start = urljoin(url, base or "")
                for anchor in tree.iter("a"):
                    href = anchor.get("href")
                    if (
                        href
                        and "nofollow" not in (anchor.get("rel") or "").lower()
                        and (inside := self._joined(start, href))
                    ):
                        links.append(inside)
        told = {word.strip() for word in said.split(",")}
        follow = not told & {"nofollow", "none"}
        return {
            "index": not told & {"noindex", "none"},
            "links": _first(dict.fromkeys(links)) if follow else [],
        }

    def _joined(self, start: str, href: str) -> str:
        try:
            return self._within(urljoin(start, href.strip()))
        except ValueError:
            return ""


def _first(links: Iterable[str]) -> list[str]:
    """As many as are kept in the head of a page."""
    kept_links, chars = [], 0
    for link in links:
        chars += len(link)
        if chars > _LINK_CHARS:
            break
        kept_links.append(link)
    return kept_links


def _told(error: Exception) -> str:
    if isinstance(error, ParseError):
        return error.problem
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer in time"
    return str(error)[:200] or type(error).__name__


def _tree(data: bytes) -> Any:
    try:
        parser = html.HTMLParser(encoding="utf-8", no_network=True, recover=True, huge_tree=False)
        return html.document_fromstring(decode(data).encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError, ParseError):
        return None


def _locations(data: bytes) -> Iterator[tuple[str, str]]:
    """The addresses of a sitemap, with what it is: `urlset` names pages, `sitemapindex` other sitemaps."""
    if data.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(31)
        try:
            data = unpacker.decompress(data, _MAP_BYTES)
        except zlib.error:
            return
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, recover=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError):
        return
    if root is None:
        return
    kind = etree.QName(root).localname
    for element in root.iter():
        if isinstance(element.tag, str) and etree.QName(element).localname == "loc" and element.text:
            yield kind, element.text.strip()


def _moment(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value) if value else None
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
