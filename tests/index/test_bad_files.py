"""Files that are empty, broken, hostile or not what they say, through a run's own workers with their limits."""

from __future__ import annotations

import io
import os
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from assistant.errors import ParseError
from assistant.index.sources import folder
from assistant.index.workers import Workers
from assistant.settings import Source
from bench.messy import NO_SENTENCE, watched
from tests.index.conftest import Index

MB = 1_000_000
CANARY = "canary-in-a-file-outside"


def saved(thing: object) -> bytes:
    out = io.BytesIO()
    thing.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def word(text: str = "Words.") -> bytes:
    document = docx.Document()
    document.add_paragraph(text)
    return saved(document)


def sheet() -> bytes:
    book = openpyxl.Workbook()
    book.worksheets[0].append(["City", "Rome"])
    return saved(book)


def pdf(text: str = "Words.") -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.drawString(100, 700, text)
    canvas.save()
    return out.getvalue()


def locked(algorithm: str, user: str) -> bytes:
    writer = PdfWriter(PdfReader(io.BytesIO(pdf())))
    writer.encrypt(user, "owner", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def pages(count: int) -> bytes:
    """Many pages that share one text."""
    writer = PdfWriter(PdfReader(io.BytesIO(pdf())))
    for _ in range(count - 1):
        writer.add_page(writer.pages[0])
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return out.getvalue()


def changed(data: bytes, member: str, old: bytes, new: bytes) -> bytes:
    """An Office file with something in one of its parts replaced."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return zipped(*((n, file.read(n).replace(old, new) if n == member else file.read(n)) for n in file.namelist()))


def liar() -> bytes:
    """A zip whose member unpacks to more than it says."""
    data = zipped(("a.txt", b"a" * 5 * MB))
    return data.replace(struct.pack("<L", 5 * MB), struct.pack("<L", 10))


def encrypted_zip() -> bytes:
    data = bytearray(zipped(("a.txt", b"secret")))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        file.addfile(tarfile.TarInfo("../a.txt"), io.BytesIO())
    return out.getvalue()


def noise(size: int) -> bytes:
    return random.Random(5).randbytes(size)


LAUGHS = (
    b"<!DOCTYPE l [<!ENTITY a0 'ha'>"
    + b"".join(b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
    + b"]>"
)
OUTSIDE = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file://%s">]>'
FETCHED = b'<!DOCTYPE r SYSTEM "http://127.0.0.1:9/a.dtd"><r><a>kept</a><b>words</b></r>'
ODF = (
    b'<office:document-content xmlns:office="o" xmlns:text="t"><office:body><office:text>%s</office:text></office:body>'
    b"</office:document-content>"
)
MACRO = b"application/vnd.ms-word.document.macroEnabled.main+xml"
PLAIN = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
EMPTY, READ = "(empty)", "(read)"
EITHER = "(read or refused)"

# name of the file, its bytes, what becomes of it: read, empty, or a part of the reason
CASES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    **{f"empty {k}": (f"a.{k}", bytes, EMPTY) for k in "md html pdf docx xlsx csv eml json xml rtf odt zip".split()},
    **{f"only 0xFF in {k}": (f"a.{k}", lambda: b"\xff" * 3000, EITHER) for k in "md html csv eml json xml txt".split()},
    **{f"noise in {k}": (f"a.{k}", lambda: noise(5000), EITHER) for k in "md html csv eml json xml txt mbox".split()},
    **{f"words named {k}": (f"a.{k}", lambda: b"words", "not really") for k in "pdf docx odt epub zip rtf png".split()},
    **{f"a cut {k}": (f"a.{k}", lambda k=k: {"docx": word, "xlsx": sheet, "pdf": pdf}[k]()[:700], "damaged")
       for k in ("docx", "xlsx", "pdf")},
    "utf-16 with a mark": ("a.md", lambda: "Größe".encode("utf-16"), READ),
    "utf-16 without a mark": ("a.txt", lambda: "Words of a text.".encode("utf-16-be"), READ),
    "latin-1": ("a.txt", lambda: "Größe, Maß und schöne Grüße".encode("latin-1"), READ),
    "utf-8 with a mark": ("a.csv", lambda: "Stadt,Größe\nRom,5".encode("utf-8-sig"), READ),
    "a docx named pdf": ("a.pdf", word, READ),
    "a pdf named docx": ("a.docx", pdf, READ),
    "a picture named md": ("a.md", lambda: b"\x89PNG\r\n\x1a\n" + bytes(90), EITHER),
    "a zip bomb of a docx": ("a.docx", lambda: zipped(("word/document.xml", bytes(310 * MB))), "unpacks to far more"),
    "a zip bomb": ("a.zip", lambda: zipped(*((f"{n}.txt", bytes(45 * MB)) for n in range(8))), "unpacks to far more"),
    "a bomb of one member": ("a.zip", lambda: zipped(("a.txt", bytes(90 * MB))), "larger than 50 MB"),
    "a zip that lies about its size": ("a.zip", liar, "damaged"),
    "a zip of zips": ("a.zip", lambda: zipped(("b.zip", zipped(("c.txt", b"x")))), "an archive in an archive"),
    "a zip with a way out": ("a.zip", lambda: zipped(("../../a.txt", b"x")), "leads out of the archive"),
    "a zip with an absolute name": ("a.zip", lambda: zipped(("/etc/a.txt", b"x")), "leads out of the archive"),
    "a zip with a password": ("a.zip", encrypted_zip, "protected by a password"),
    "a zip of 600 files": ("a.zip", lambda: zipped(*((f"{n}.txt", b"x") for n in range(600))), "more than 500 files"),
    "a zip of nothing": ("a.zip", zipped, "not read"),
    "a tar": ("a.tar.gz", tar, "an archive of a kind that is not read"),
    "an old office file": ("a.doc", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "password-protected"),
    "an Outlook message": ("a.msg", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "save it as eml"),
    "a docx with macros": ("a.docm", lambda: changed(word(), "[Content_Types].xml", PLAIN, MACRO), "with macros"),
    "a docx without its text": ("a.docx", lambda: zipped(("[Content_Types].xml", b"<x/>")), "missing"),
    "a docx that fetches": (
        "a.docx",
        lambda: changed(word("MARK"), "word/document.xml", b"<w:document", FETCHED[:52] + b"<w:document"),
        EITHER,
    ),
    "an empty pptx": ("a.pptx", lambda: saved(pptx.Presentation()), EMPTY),
    "an encrypted pdf": ("a.pdf", lambda: locked("RC4-128", "secret"), "protected by a password"),
    "a pdf encrypted by AES": ("a.pdf", lambda: locked("AES-256", "secret"), "protected by a password"),
    "a pdf that anybody may read": ("a.pdf", lambda: locked("RC4-128", ""), READ),
    "a pdf without its table": ("a.pdf", lambda: pdf().split(b"xref")[0], EITHER),
    "a pdf of two thousand pages": ("a.pdf", lambda: pages(2000), READ),
    "json 10,000 deep": ("a.json", lambda: b"[" * 10_000 + b"]" * 10_000, "nested too deeply"),
    "json 900 deep": ("a.json", lambda: b'{"a":' * 900 + b"1" + b"}" * 900, EITHER),
    "broken json": ("a.json", lambda: b'{"a": 1,\n "b": }', "not valid JSON: line 2"),
    "json of numbers without end": ("a.json", lambda: b'{"a": ' + b"9" * 10_000 + b"}", EITHER),
    "xml 10,000 deep": ("a.xml", lambda: b"<a>" * 10_000 + b"x" + b"</a>" * 10_000, "not valid XML"),
    "xml that multiplies": ("a.xml", lambda: LAUGHS + b"<l>&a9;</l>", EITHER),
    "xml that reads a file": ("a.xml", lambda: OUTSIDE % b"/etc/hostname" + b"<r><a>&x;</a><b>words</b></r>", READ),
    "xml that fetches": ("a.xml", lambda: FETCHED, READ),
    "html 10,000 deep": ("a.html", lambda: b"<div>" * 10_000 + b"x", "deep"),
    "html with scripts": ("a.html", lambda: b"<p>Words<script>steal()</script><img src=x onerror=steal()></p>", READ),
    "markdown of brackets": ("a.md", lambda: b"[" * 50_000 + b"(" * 50_000, EITHER),
    "markdown of marks that open": (
        "a.md", lambda: b"\n\n".join(m * 30_000 for m in (b"{{", b"{%", b"<!--", b"**a ", b"[a](", b"{:", b"<a")), READ,
    ),
    "markdown of blanks": ("a.md", lambda: b"# a" + b" " * 300_000 + b"b\n\n|" + b" " * 300_000 + b"\n\nwords", READ),
    "html of blanks": ("a.html", lambda: b"<p>a" + b" " * 300_000 + b"b</p><p>words</p>", READ),
    "rtf of marks": ("a.rtf", lambda: b"{\\rtf1 words " + b"\\" * 300_000 + b"{\\b " * 50_000, EITHER),
    "text of empty lines": ("a.txt", lambda: b"words" + b"\n " * 300_000 + b"words", READ),
    "yaml that multiplies": (
        "a.md",
        lambda: b"---\na: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 106))
        + b"title: *i\n---\nWords.",
        EITHER,
    ),
    "a csv with a cell of 1 MB": ("a.csv", lambda: b"Name,Text\na," + b"x" * MB, READ),
    "a csv of 5,000 columns": ("a.csv", lambda: b",".join(b"%d" % n for n in range(5000)) + b"\n" + b"1," * 5000, READ),
    "a csv of formulas": ("a.csv", lambda: b"Name,Sum\na,=cmd|'/c calc'!A1", READ),
    "a csv with an open quote": ("a.csv", lambda: b'Name,Sum\n"a,1\nb,2\n' * 50, READ),
    "an odt that reads a file": (
        "a.odt",
        lambda: zipped(("content.xml", OUTSIDE % b"/etc/hostname" + ODF % b"<text:p>words &x;</text:p>")),
        READ,
    ),
    "an odt that is no xml": ("a.odt", lambda: zipped(("content.xml", b"words")), "not valid XML"),
    "an epub without a book": ("a.epub", lambda: zipped(("META-INF/container.xml", b"<c/>")), "damaged"),
    "rtf 5,000 deep": ("a.rtf", lambda: b"{\\rtf1 " + b"{" * 5000 + b"words" + b"}" * 5000, EITHER),
    "rtf of binary": ("a.rtf", lambda: b"{\\rtf1 " + noise(3000), EITHER),
    "a mail of ten thousand parts": (
        "a.eml",
        lambda: b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nwords\n" * 10_000,
        EITHER,
    ),
    "a mail nested 500 times": (
        "a.eml",
        lambda: b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(500)),
        EITHER,
    ),
    "a mail in no encoding": ("a.eml", lambda: b"Content-Type: text/plain; charset=no-such\n\nwords \xff", READ),
    "one line of 2 MB": ("a.txt", lambda: b"word " * 400_000, READ),
    "one word of 2 MB": ("a.txt", lambda: b"x" * 2 * MB, READ),
    "control characters": ("a.txt", lambda: bytes(range(1, 32)) + b"words", EITHER),
    "an unknown kind": ("a.exe", lambda: b"MZ words", ".exe are not read"),
    "no kind": ("Makefile", lambda: b"all: words", "without an extension"),
    "a name of 255 bytes": ("n" * 252 + ".md", lambda: b"# Words", READ),
    "a name of quotes and marks": ("a'\"; --<b>.md", lambda: b"# Words", READ),
}  # fmt: skip


@pytest.fixture(scope="module")
def touched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The notes of what workers open, connect to and start from here on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        yield watched(tmp_path_factory.mktemp("watch"))


@pytest.fixture(scope="module")
def workers(touched: Path) -> Iterator[Workers]:
    with Workers(1) as pool:
        yield pool


async def outcome(workers: Workers, root: Path, path: str) -> tuple[str, str]:
    """Read, empty or the reason; and the text of the passages."""
    (found,) = [f for f in folder.walk(Source(name="share", path=root)) if f.path == path]
    try:
        if found.problem:
            raise ParseError(found.problem)
        _, chunks = await workers.read(path, folder.read(root, path, 50 * MB), 180, 30)
    except ParseError as error:
        return error.problem, ""
    return (READ if chunks else EMPTY), " ".join(c.text for c in chunks)


@pytest.mark.parametrize("case", CASES)
async def test_a_bad_file_is_read_or_refused_in_plain_words(case: str, workers: Workers, tmp_path: Path) -> None:
    name, make, expected = CASES[case]
    (tmp_path / name).write_bytes(make())
    result, text = await outcome(workers, tmp_path, name)
    assert not NO_SENTENCE.search(result)
    assert "took " not in result, "it ran into a limit"
    assert "steal" not in text
    if expected in {READ, EMPTY}:
        assert result == expected
    elif expected == EITHER:
        assert result in {READ, EMPTY} or len(result.split()) > 2
    else:
        assert expected in result


def test_the_table_of_bad_files_is_long_enough() -> None:
    assert len(CASES) >= 60


async def test_a_file_of_a_gigabyte_costs_no_memory(tmp_path: Path, workers: Workers) -> None:
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(1_000 * MB)
    assert "larger than 50 MB" in (await outcome(workers, tmp_path, "huge.txt"))[0]


async def test_no_parser_reads_a_file_or_reaches_the_network(touched: Path, workers: Workers, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(CANARY)
    root = tmp_path / "share"
    root.mkdir()
    entity = OUTSIDE % bytes(secret)
    document = changed(word("MARK"), "word/document.xml", b"<w:document ", entity + b"<w:document ")
    hostile = {
        "a.xml": entity + b"<r><a>words &x;</a><b>&x;</b></r>",
        "b.xml": FETCHED,
        "a.html": entity + f'<p>words &x; <img src="http://127.0.0.1:9/"><iframe src="{secret}"></p>'.encode(),
        "a.docx": changed(document, "word/document.xml", b"MARK", b"words &x;"),
        "a.odt": zipped(("content.xml", entity + ODF % b"<text:p>words &x;</text:p>")),
        "a.md": f"words ![x]({secret}) {{% include {secret} %}}".encode(),
    }
    texts = []
    for name, data in hostile.items():
        (root / name).write_bytes(data)
        texts.append((await outcome(workers, root, name))[1])
    assert sum("words" in t for t in texts) >= 4
    assert CANARY not in " ".join(texts)
    notes = touched.read_text().splitlines() if touched.exists() else []
    assert [n for n in notes if not n.startswith("program tesseract")] == []


async def test_the_watch_over_parsers_sees_what_they_touch(touched: Path) -> None:
    """Otherwise the test above could not fail."""
    import subprocess
    import sys

    code = "import socket\nopen('/etc/hostname').close()\nsocket.socket().connect_ex(('127.0.0.1', 9))"
    before = touched.read_text() if touched.exists() else ""
    subprocess.run([sys.executable, "-c", code], check=False)
    after = touched.read_text()
    touched.write_text(before)
    assert "file /etc/hostname" in after
    assert "socket socket.connect" in after


LINK, SPECIAL = "a link to somewhere else; links are not followed", "not a regular file"


@pytest.mark.parametrize(
    "kind", ["a link out", "a link to a folder", "a pipe", "a device", "a loop", "a link to /proc"]
)
async def test_what_is_no_file_of_the_folder_is_listed_and_never_opened(
    kind: str, workers: Workers, tmp_path: Path
) -> None:
    root = tmp_path / "share"
    root.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret.md").write_text(CANARY)
    path = root / "a.md"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("only root may make a device")
    elif kind == "a link to a folder":
        (root / "inner").symlink_to(tmp_path / "out")
        assert list(folder.walk(Source(name="share", path=root))) == []
        return
    else:
        targets = {"a link out": tmp_path / "out/secret.md", "a loop": path, "a link to /proc": "/proc/self/environ"}
        path.symlink_to(targets[kind])
    result, _ = await outcome(workers, root, "a.md")
    assert result == (SPECIAL if kind in {"a pipe", "a device"} else LINK)
    with pytest.raises(ParseError):
        folder.read(root, "a.md", MB)


async def test_a_hard_link_is_read_for_nothing_tells_it_from_a_file(workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "out.md").write_text("Words of a file outside.")
    root = tmp_path / "share"
    root.mkdir()
    os.link(tmp_path / "out.md", root / "a.md")
    assert (await outcome(workers, root, "a.md"))[0] == READ


async def test_one_bad_file_never_stops_the_rest(index: Index) -> None:
    some = ("json 10,000 deep", "a cut docx", "an encrypted pdf", "noise in html", "a zip with a way out", "empty pdf")
    files = {f"{n}-{CASES[case][0]}": CASES[case][1]() for n, case in enumerate(some)}
    report = await index.sync({**files, "first.md": "# First", "zlast.md": "# Last"})
    assert report.documents + len(report.failed) + len(report.empty) == len(files) + 2
    assert {"first.md", "zlast.md"} <= set(await index.found("first last"))
