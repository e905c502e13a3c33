"""Build the PDF, Word, PowerPoint and Excel files of the demo company from plain text.

    python data/make_demo.py            rebuild every file
    python data/make_demo.py --check    write nothing, exit 1 naming files that differ

A source is `data/demo/sources/<folder>/<name>.<pdf|docx|pptx>.md`, or a folder
`<name>.xlsx/` with one CSV a sheet; the result is `data/demo/documents/<folder>/<name>.<ext>`.
The result depends on the source alone: nothing in it comes from the clock.
"""

import argparse
import csv
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import product
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from docx import Document
from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from pptx import Presentation
from pptx.util import Inches, Pt
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, Preformatted, SimpleDocTemplate, Spacer, Table

DEMO = Path(__file__).parent / "demo"
SOURCES = DEMO / "sources"
DOCUMENTS = DEMO / "documents"
COMPANY = "Larkfeld Instruments"
LABELS = {"en": {"owner": "Owner", "date": "Date"}, "de": {"owner": "Verantwortlich", "date": "Stand"}}
INLINE = re.compile(r"(\*\*.+?\*\*|`.+?`)")


@dataclass
class Block:
    """One piece of a source; `kind` is heading, paragraph, bullet, number, code, note or table."""

    kind: str
    text: str = ""
    level: int = 0
    rows: list[list[str]] = field(default_factory=list)


@dataclass
class Source:
    meta: dict[str, str]
    blocks: list[Block]

    @property
    def byline(self) -> str:
        labels = LABELS[self.meta.get("lang", "en")]
        return " | ".join(f"{label}: {self.meta[key]}" for key, label in labels.items() if key in self.meta)


def read_source(path: Path) -> Source:
    _, head, body = path.read_text(encoding="utf-8").split("---\n", 2)
    meta = dict(line.split(": ", 1) for line in head.strip().splitlines())
    return Source(meta, list(parse(body)))


def parse(body: str) -> Iterator[Block]:
    """The small part of Markdown the sources use; paragraphs end at an empty line."""
    for chunk in re.findall(r"^```[\s\S]*?^```|(?:^(?!```)[^\n]*\S[^\n]*(?:\n|$))+", body, re.M):
        lines = chunk.strip("\n").splitlines()
        if lines[0].startswith("```"):
            yield Block("code", "\n".join(lines[1:-1]))
        elif lines[0].startswith("|"):
            cells = [[c.strip() for c in line.strip().strip("|").split("|")] for line in lines]
            yield Block("table", rows=[row for row in cells if not re.fullmatch(r"[-: ]+", "".join(row))])
        elif match := re.match(r"(#+) (.*)", lines[0]):
            yield Block("heading", match[2], len(match[1]))
            if len(lines) > 1:
                yield from parse("\n".join(lines[1:]))
        elif lines[0].startswith("> "):
            yield Block("note", " ".join(line.lstrip("> ") for line in lines))
        elif re.match(r"- |\d+\. ", lines[0]):
            for item in re.split(r"\n(?=- |\d+\. )", "\n".join(lines)):
                mark, text = item.split(" ", 1)
                yield Block("bullet" if mark == "-" else "number", " ".join(text.split()), int(mark.strip("-.") or 0))
        else:
            yield Block("paragraph", " ".join(lines))


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """Splits inline text into (style, text), style being '', 'bold' or 'code'."""
    for piece in filter(None, INLINE.split(text)):
        if piece.startswith("**"):
            yield "bold", piece[2:-2]
        else:
            yield ("code", piece.strip("`")) if piece.startswith("`") else ("", piece)


def plain(text: str) -> str:
    return "".join(piece for _, piece in pieces(text))


def fill(table: Any, rows: list[list[str]]) -> Any:
    """Writes rows into a table of Word or PowerPoint."""
    for i, j in product(range(len(rows)), range(len(rows[0]))):
        table.cell(i, j).text = plain(rows[i][j])
    return table


def build_pdf(path: Path) -> bytes:
    source, out = read_source(path), io.BytesIO()
    sheet = getSampleStyleSheet()
    body = ParagraphStyle("body", parent=sheet["BodyText"], fontSize=9.5, leading=13)
    cell = ParagraphStyle("cell", parent=body, fontSize=8.5, leading=11, spaceBefore=0)

    def rich(text: str, style: ParagraphStyle, bullet: str | None = None) -> Paragraph:
        tags = {"": "{}", "bold": "<b>{}</b>", "code": '<font face="Courier">{}</font>'}
        return Paragraph("".join(tags[s].format(escape(t)) for s, t in pieces(text)), style, bulletText=bullet)

    story: list[Flowable] = [rich(source.meta["title"], sheet["Title"]), rich(source.byline, body), Spacer(1, 5 * mm)]
    indent = ParagraphStyle("item", parent=body, leftIndent=14, bulletIndent=3)
    for block in source.blocks:
        if block.kind == "heading":
            story.append(rich(block.text, sheet[f"Heading{min(block.level, 4)}"]))
        elif block.kind == "table":
            width = (A4[0] - 40 * mm) / len(block.rows[0])
            rows = [[rich(f"**{c}**" if i == 0 and c else c, cell) for c in row] for i, row in enumerate(block.rows)]
            table = Table(rows, colWidths=[width] * len(rows[0]), repeatRows=1, spaceBefore=4, spaceAfter=6)
            table.setStyle([("GRID", (0, 0), (-1, -1), 0.4, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")])
            story.append(table)
        elif block.kind == "code":
            story.append(Preformatted(block.text, sheet["Code"]))
        elif block.kind in ("bullet", "number"):
            story.append(rich(block.text, indent, "•" if block.kind == "bullet" else f"{block.level}."))
        else:
            story.append(rich(block.text, body))

    def frame(canvas: Canvas, doc: SimpleDocTemplate) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(20 * mm, 12 * mm, f"{COMPANY} - {source.meta['title']}")
        canvas.drawRightString(A4[0] - 20 * mm, 12 * mm, f"{doc.page}")

    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), 20 * mm)
    names = {"title": source.meta["title"], "author": source.meta["owner"]}
    doc = SimpleDocTemplate(out, pagesize=A4, invariant=1, **margins, **names)
    doc.build(story, onFirstPage=frame, onLaterPages=frame)
    # What reportlab writes where its output must not depend on the clock; a date of the same length moves nothing.
    dated = f"D:{source.meta['date'].replace('-', '')}000000".encode()
    return out.getvalue().replace(b"D:20000101000000", dated)


def build_docx(path: Path) -> bytes:
    source, doc = read_source(path), Document()

    def write(text: str, style: str | None = None) -> None:
        paragraph = doc.add_paragraph(style=style)
        for kind, piece in pieces(text):
            run = paragraph.add_run(piece)
            run.bold = kind == "bold" or None
            if kind == "code":
                run.font.name = "Courier New"

    doc.add_heading(source.meta["title"], 0)
    write(source.byline, "Subtitle")
    for block in source.blocks:
        if block.kind == "heading":
            doc.add_heading(block.text, block.level - 1 or 1)
        elif block.kind == "table":
            fill(doc.add_table(len(block.rows), len(block.rows[0]), style="Table Grid"), block.rows)
            doc.add_paragraph()
        elif block.kind in ("bullet", "number"):
            write(block.text, "List Bullet" if block.kind == "bullet" else "List Number")
        else:
            write(block.text, "No Spacing" if block.kind == "code" else None)
    return save(doc, **source.meta)


def build_pptx(path: Path) -> bytes:
    source, deck = read_source(path), Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[0])
    slide.shapes.title.text = source.meta["title"]
    slide.placeholders[1].text = f"{COMPANY}\n{source.byline}"
    for block in source.blocks:
        if block.kind == "heading":
            slide = deck.slides.add_slide(deck.slide_layouts[1])
            slide.shapes.title.text = block.text
            frame, empty = slide.placeholders[1].text_frame, True
        elif block.kind == "note":
            slide.notes_slide.notes_text_frame.text = plain(block.text)
        elif block.kind == "table":
            box = Inches(0.5), Inches(1.7 if empty else 4), Inches(9), Inches(2.5)
            shape = slide.shapes.add_table(len(block.rows), len(block.rows[0]), *box)
            for cell in fill(shape.table, block.rows).iter_cells():
                cell.text_frame.paragraphs[0].font.size = Pt(14)
            if empty:  # no room for text below a table: bullets stand above it in the source
                slide.placeholders[1].element.getparent().remove(slide.placeholders[1].element)
                frame, empty = None, False
        else:
            paragraph = frame.paragraphs[0] if empty else frame.add_paragraph()
            paragraph.text, paragraph.font.size, empty = plain(block.text), Pt(20), False
    return save(deck, **source.meta)


def build_xlsx(path: Path) -> bytes:
    book = Workbook()
    book.remove(book.active)
    sheets = sorted(path.glob("*.csv"))
    # The caption of the first sheet says when the file is of.
    stated = re.search(r"\d{4}-\d\d-\d\d", sheets[0].read_text(encoding="utf-8").partition("\n")[0])
    for sheet_path in sheets:
        sheet = book.create_sheet(re.sub(r"^\d+-", "", sheet_path.stem))
        with sheet_path.open(encoding="utf-8", newline="") as file:
            rows = [[typed(value) for value in row] for row in csv.reader(file)]
        header = next(i for i, row in enumerate(rows) if len(row) > 2)
        for i, row in enumerate(rows):
            sheet.append(row)
            if i in (0, header):
                for cell in sheet[i + 1]:
                    cell.font = Font(bold=True)
        sheet.freeze_panes = sheet.cell(header + 2, 1)
        for j in range(max(map(len, rows))):
            longest = max((len(str(row[j])) for row in rows[header:] if j < len(row)), default=0)
            sheet.column_dimensions[get_column_letter(j + 1)].width = min(60, longest + 3)
    return save(book, title=path.stem, owner=COMPANY, date=stated.group() if stated else "2026-01-01")


def typed(value: str) -> str | int | float | date | None:
    if re.fullmatch(r"-?\d+", value) and not re.match(r"-?0\d", value):
        return int(value)
    if re.fullmatch(r"-?\d+\.\d+", value):
        return float(value)
    return date.fromisoformat(value) if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else value or None


def save(document: Any, **meta: str) -> bytes:
    """Saves an Office file with fixed times, in its properties and in its zip members."""
    props = document.properties if isinstance(document, Workbook) else document.core_properties
    props.title, props.created = meta["title"], datetime.fromisoformat(meta["date"])
    setattr(props, "creator" if isinstance(document, Workbook) else "author", meta["owner"])
    raw, out = io.BytesIO(), io.BytesIO()
    document.save(raw)
    modified = rb"\g<1>" + meta["date"].encode() + b"T00:00:00Z"
    with zipfile.ZipFile(raw) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "docProps/core.xml":  # openpyxl writes the time of saving here
                data = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", modified, data)
            new.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


BUILDERS = {"pdf": build_pdf, "docx": build_docx, "pptx": build_pptx, "xlsx": build_xlsx}


def build_all() -> Iterator[tuple[Path, bytes]]:
    for path in sorted(SOURCES.rglob("*")):
        target = DOCUMENTS / path.relative_to(SOURCES).with_name(path.name.removesuffix(".md"))
        if target.suffix[1:] in BUILDERS:
            yield target, BUILDERS[target.suffix[1:]](path)


def main() -> str | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 naming files that differ")
    check: bool = parser.parse_args().check
    built = dict(build_all())
    wrong = [path for path in sorted(DOCUMENTS.rglob("*")) if path.suffix[1:] in BUILDERS and path not in built]
    for path, data in built.items():
        if path.exists() and path.read_bytes() == data:
            continue
        if check:
            wrong.append(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return "\n".join(f"{path.relative_to(DEMO)} is not what its source gives" for path in wrong) or None


if __name__ == "__main__":
    sys.exit(main())
