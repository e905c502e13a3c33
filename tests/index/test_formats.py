"""The kinds of files that are archives, data or pictures, and what every kind tells of itself."""

from __future__ import annotations

import io
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from PIL import Image, ImageDraw, ImageFont
from pypdf import PdfReader, PdfWriter
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from assistant.errors import ParseError
from assistant.index.page import Parsed
from assistant.index.parse import parse
from assistant.index.parsers import archive, picture
from tests.index.conftest import Index

DAY = datetime(2024, 3, 1, tzinfo=UTC)
UNTIL = datetime(2025, 12, 31, tzinfo=UTC)


def blocks(parsed: Parsed, kind: str) -> list[str]:
    return [parsed.text[b.start : b.end] for b in parsed.blocks if b.kind == kind]


def zipped(members: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


def saved(thing: Any, **extra: str) -> bytes:
    """A document of an Office library as bytes, with more members if any are given."""
    out = io.BytesIO()
    thing.save(out)
    with zipfile.ZipFile(out, "a") as file:
        for name, content in extra.items():
            file.writestr(name, content)
    return out.getvalue()


SPACES = 'xmlns:{0}="urn:oasis:names:tc:opendocument:xmlns:{0}:1.0"'
HEAD = " ".join(SPACES.format(n) for n in ("office", "text", "table", "meta")) + (
    ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
)
ODF_META = (
    f"<office:document-meta {HEAD}><office:meta><dc:title>Travel</dc:title><dc:creator>Ada</dc:creator>"
    '<dc:date>2024-03-01T00:00:00</dc:date><meta:user-defined meta:name="Valid until">2025-12-31</meta:user-defined>'
    "</office:meta></office:document-meta>"
)


def odf(body: str, kind: str = "text") -> bytes:
    content = (
        f"<office:document-content {HEAD}><office:body><office:{kind}>{body}</office:{kind}></office:body>"
        "</office:document-content>"
    )
    return zipped(
        {"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content, "meta.xml": ODF_META}
    )


CELL = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
TABLE = (
    '<table:table table:name="Costs">'
    + "".join(
        f"<table:table-row>{''.join(map(CELL.format, row))}</table:table-row>"
        for row in (("City", "Limit"), ("Rome", "90"))
    )
    + "</table:table>"
)


def test_an_open_document_gives_headings_lists_tables_and_its_facts() -> None:
    body = (
        '<text:h text:outline-level="2">Trains</text:h><text:p>Second<text:s text:c="2"/>class.</text:p>'
        f"<text:list><text:list-item><text:p>book early</text:p></text:list-item></text:list>{TABLE}"
    )
    parsed = parse("travel.odt", odf(body))
    assert blocks(parsed, "heading") == ["Trains"]
    assert blocks(parsed, "text") == ["Second  class.", "- book early"]
    assert blocks(parsed, "row") == ["City | Limit", "City: Rome | Limit: 90"]
    assert (parsed.title, parsed.author, parsed.modified, parsed.valid_until) == ("Travel", "Ada", DAY, UNTIL)


def test_an_open_spreadsheet_names_its_sheets_and_survives_a_far_edge() -> None:
    edge = TABLE.replace(
        "</table:table-row>", '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    )
    parsed = parse("costs.ods", odf(edge, "spreadsheet"))
    assert blocks(parsed, "row") == ["City | Limit", "City: Rome | Limit: 90"]
    assert {b.sheet for b in parsed.blocks} == {"Costs"}


def test_a_book_is_read_in_its_own_order() -> None:
    book = zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<c><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></c>',
            "OPS/book.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Guide</dc:title>'
            "<dc:creator>Ada</dc:creator><dc:date>2024-03-01</dc:date></metadata><manifest>"
            '<item id="b" href="b.xhtml"/>'
            '<item id="a" href="a.xhtml"/><item id="x" href="../../../etc/passwd"/></manifest>'
            '<spine><itemref idref="b"/><itemref idref="a"/><itemref idref="x"/></spine></package>',
            "OPS/a.xhtml": "<html><body><h1>Second</h1><p>two</p></body></html>",
            "OPS/b.xhtml": "<html><body><h1>First</h1><p>one</p></body></html>",
        }
    )
    parsed = parse("guide.epub", book)
    assert parsed.text == "First\n\none\n\nSecond\n\ntwo"
    assert (parsed.title, parsed.author, parsed.modified) == ("Guide", "Ada", DAY)


def test_rich_text_loses_its_marks_and_keeps_its_tables() -> None:
    source = (
        r"{\rtf1\ansi{\info{\title Rules}{\author Ada}{\revtim\yr2024\mo3\dy1}}Gr\'fc\'dfe und {\b Fristen}.\par "
        r"\trowd City\cell Limit\cell\row\trowd Rome\cell 90\cell\row}"
    )
    parsed = parse("a.rtf", source.encode())
    assert "Grüße und Fristen." in parsed.text
    assert blocks(parsed, "row") == ["City | Limit", "City: Rome | Limit: 90"]
    assert (parsed.title, parsed.author, parsed.modified) == ("Rules", "Ada", DAY)


def test_json_records_become_a_table_and_the_rest_lines_under_their_keys() -> None:
    records = [{"city": "Rome", "limit": 90, "open": True}, {"city": "Oslo", "limit": None}]
    parsed = parse("a.json", json.dumps({"title": "Costs", "year": 2024, "cities": records}).encode())
    assert parsed.title == "Costs"
    assert "year: 2024" in parsed.text
    assert blocks(parsed, "heading") == ["cities"]
    assert blocks(parsed, "row") == ["city | limit | open", "city: Rome | limit: 90 | open: true", "city: Oslo"]
    lines = "\n".join(json.dumps(r) for r in records)
    assert blocks(parse("a.jsonl", lines.encode()), "row") == blocks(parsed, "row")


def test_a_notebook_keeps_its_code_apart_from_its_words() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Method\n", "\n", "We **count**."]},
        {"cell_type": "code", "source": "total = 1", "outputs": [{"text": "noise"}]},
    ]
    parsed = parse("a.ipynb", json.dumps({"nbformat": 4, "cells": cells}).encode())
    assert (blocks(parsed, "heading"), blocks(parsed, "text"), blocks(parsed, "code")) == (
        ["Method"],
        ["We count."],
        ["\ttotal = 1"],
    )


def test_xml_records_name_their_values_and_text_stays_together() -> None:
    source = (
        "<list><title>Cities</title><c><name>Rome</name><rate>90</rate></c>"
        "<p>See <b>the</b> list.<!--no text--></p></list>"
    )
    parsed = parse("a.xml", source.encode())
    assert blocks(parsed, "row") == ["name: Rome | rate: 90"]
    assert blocks(parsed, "text") == ["Cities", "See the list."]
    assert parsed.title == "Cities"


MAIL = "From: Ada <ada@example.test>\nSubject: {}\nDate: Fri, 01 Mar 2024 00:00:00 +0000\n{}\n{}\n"


def test_a_mail_folder_gives_each_message_under_its_subject() -> None:
    messages = [MAIL.format(s, "", f"Text of {s}.\n>From here on.") for s in ("one", "two")]
    parsed = parse("all.mbox", "".join(f"From ada@example.test Fri Mar  1\n{m}\n" for m in messages).encode())
    assert blocks(parsed, "heading") == ["one", "two"]
    assert "Text of two.\nFrom here on." in parsed.text
    assert parsed.modified == DAY


def test_a_zip_gives_each_member_as_a_section_and_names_what_it_does_not_read() -> None:
    members: dict[str, str | bytes] = {
        "rules/travel.md": "# Travel\n\nSecond class.",
        "list.csv": "City,Limit\nRome,90\n",
        "__MACOSX/._list.csv": b"\x00\x05",
        "../out.txt": "stolen",
        "C:\\out.txt": "stolen",
        "inner.zip": zipped({"a.txt": "too deep"}),
        "tool.exe": b"MZ",
    }
    parsed = parse("hr/Rules 2024.zip", zipped(members))
    assert parsed.title == "Rules 2024"
    assert blocks(parsed, "heading") == ["rules/travel.md", "Travel", "list.csv"]
    assert [b.level for b in parsed.blocks if b.kind == "heading"] == [1, 2, 1]
    assert "City: Rome | Limit: 90" in parsed.text
    assert "stolen" not in parsed.text
    assert "too deep" not in parsed.text
    assert parsed.note == "4 of 6 files in it are not read (../out.txt: its name leads out of the archive)"


def test_a_zip_of_too_many_or_too_large_members_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParseError, match="more than 500 files"):
        parse("a.zip", zipped({f"{n}.txt": "x" for n in range(501)}))
    monkeypatch.setattr(archive, "MEMBER_BYTES", 1_000_000)
    with pytest.raises(ParseError, match=r"a\.txt: larger than 1 MB"):
        parse("a.zip", zipped({"a.txt": bytes(2_000_000)}))


CUSTOM = (
    '<Properties xmlns:vt="v"><property name="Valid until"><vt:filetime>2025-12-31T00:00:00Z</vt:filetime></property>'
    "</Properties>"
)


def office(thing: Any) -> bytes:
    facts = thing.properties if isinstance(thing, openpyxl.Workbook) else thing.core_properties
    setattr(facts, "creator" if isinstance(thing, openpyxl.Workbook) else "author", "Ada")
    out = io.BytesIO()
    facts.modified = datetime(2024, 3, 1)  # noqa: DTZ001 - the libraries write what they are given as UTC
    thing.save(out)
    with zipfile.ZipFile(out, "a") as file:
        file.writestr("docProps/custom.xml", CUSTOM)
    return out.getvalue()


def described_pdf() -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.drawString(100, 700, "Words.")
    canvas.save()
    writer = PdfWriter(PdfReader(out))
    writer.add_metadata({"/Author": "Ada", "/ModDate": "D:20240301000000Z", "/valid_until": "2025-12-31"})
    done = io.BytesIO()
    writer.write(done)
    return done.getvalue()


DESCRIBED: dict[str, Callable[[], bytes]] = {
    "a.md": lambda: b"---\nauthor: Ada\nupdated: 2024-03-01\nvalid_until: 2025-12-31\n---\nText.",
    "a.html": lambda: (
        b'<html><head><meta name="author" content="Ada"><meta name="date" content="2024-03-01">'
        b'<meta name="valid_until" content="2025-12-31"></head><body>Text.</body></html>'
    ),
    "a.docx": lambda: office(docx.Document()),
    "a.pptx": lambda: office(pptx.Presentation()),
    "a.xlsx": lambda: office(openpyxl.Workbook()),
    "a.odt": lambda: odf("<text:p>Text.</text:p>"),
    "a.pdf": described_pdf,
    "a.eml": lambda: MAIL.format("Hello", "Expires: Wed, 31 Dec 2025 00:00:00 +0000\n", "Text.").encode(),
}


@pytest.mark.parametrize("path", DESCRIBED)
def test_a_file_tells_who_wrote_it_when_and_until_when_it_holds(path: str) -> None:
    parsed = parse(path, DESCRIBED[path]())
    assert "Ada" in parsed.author
    if path != "a.xlsx":  # openpyxl sets the moment of saving
        assert parsed.modified == DAY
    assert parsed.valid_until == UNTIL


def scan(text: str = "HOLIDAY RULES") -> Image.Image:
    """A picture of words, as a scanner gives it."""
    image = Image.new("L", (900, 200), 255)
    ImageDraw.Draw(image).text((60, 60), text, 0, font=ImageFont.load_default(64))
    return image


def as_bytes(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def scanned_pdf(words: str = "") -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(900, 400))
    canvas.drawImage(ImageReader(scan()), 0, 0)
    canvas.showPage()
    if words:
        canvas.drawString(100, 100, words)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


PICTURES = {"a.png": "PNG", "a.jpg": "JPEG", "a.tiff": "TIFF", "a.gif": "GIF", "a.webp": "WEBP"}


def test_without_tesseract_pictures_of_text_are_refused_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    for path, data in ((p, as_bytes(scan(), kind)) for p, kind in PICTURES.items()):
        with pytest.raises(ParseError, match=r"^holds only images; install tesseract to read them$"):
            parse(path, data)
    with pytest.raises(ParseError, match=r"^holds only images; install tesseract to read them$"):
        parse("a.pdf", scanned_pdf())
    mixed = parse("a.pdf", scanned_pdf("Words that are text."))
    assert mixed.text == "Words that are text."
    assert mixed.note == "a page holds only images; install tesseract to read them"


@pytest.mark.skipif(not picture.available(), reason="there is no tesseract on this machine")
def test_with_tesseract_pictures_and_scanned_pages_are_read() -> None:
    for path, kind in PICTURES.items():
        assert "HOLIDAY RULES" in parse(path, as_bytes(scan(), kind)).text
    parsed = parse("a.pdf", scanned_pdf("Words that are text."))
    assert "HOLIDAY RULES" in parsed.text
    assert "Words that are text." in parsed.text
    assert [b.page for b in parsed.blocks] == [1, 2]


def fake_tesseract(folder: Path, body: str) -> None:
    """A program of that name that does what a test needs: the real one is not on every machine."""
    program = folder / "tesseract"
    program.write_text(f"#!/bin/sh\nif [ \"$1\" = --list-langs ]; then printf 'List:\\neng\\n'; exit; fi\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_reading_pictures_ends_with_the_time_that_a_file_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_tesseract(tmp_path, "exec sleep 20")
    monkeypatch.setattr(picture, "_program", lambda: str(tmp_path / "tesseract"))
    monkeypatch.setattr(picture, "SECONDS", 0.3)
    with pytest.raises(ParseError, match="more pictures of text than can be read in time"):
        parse("a.png", as_bytes(scan(), "PNG"))


@pytest.mark.usefixtures("in_process")
async def test_a_scan_is_read_by_the_first_run_after_tesseract_was_installed(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(picture, "_program", lambda: None)
    report = await index.sync({"a.md": "# Text", "scan.pdf": scanned_pdf(), "mixed.pdf": scanned_pdf("Text.")})
    assert [f["reason"] for f in report.failed] == [picture.NEEDS_TESSERACT]
    fake_tesseract(tmp_path, "echo recognised words")
    monkeypatch.setattr(picture, "_program", lambda: str(tmp_path / "tesseract"))
    again = await index.sync()
    assert (again.added, again.changed, again.failed) == (1, 1, [])
    assert {"scan.pdf", "mixed.pdf"} <= set(await index.found("recognised words"))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The request must be sent to your manager before the end of the month, and it will be answered."),
        ("de", "Der Antrag muss bis zum Ende des Monats bei der Leitung sein und wird dann von ihr beantwortet."),
        ("fr", "La demande est à envoyer avant la fin du mois et vous aurez une réponse dans les jours qui suivent."),
        ("es", "La solicitud se debe enviar antes de que termine el mes y la respuesta llega en los días siguientes."),
        ("it", "La richiesta deve essere inviata prima della fine del mese e la risposta arriva nei giorni dopo."),
        ("pl", "Wniosek należy złożyć do końca miesiąca i nie jest to możliwe po tym terminie, bo tak jest w umowie."),
        ("ru", "Заявление нужно подать до конца месяца."),
        ("zh", "申请必须在月底之前提交。"),
        ("ja", "申請は月末までに提出してください。"),
        ("", "x = 1; y = 2"),
        ("", "GRD-8842 12.50 GRD-1290 18.00"),
    ],
)
def test_the_language_of_a_text_is_told_or_left_open(language: str, text: str) -> None:
    assert parse("a.txt", text.encode()).language == language
