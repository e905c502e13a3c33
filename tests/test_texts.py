"""Every language says the same things, and the code asks for nothing that no language says."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from string import Formatter
from typing import get_args

import pytest
from jinja2 import Environment, nodes

from assistant.chat import lookups
from assistant.domain import Level, ToolUse
from assistant.index.parsers import pdf, picture
from assistant.settings import PROJECT, Deployment, Settings
from assistant.texts import LANGUAGES, pick, reason, say, section
from assistant.web.admin.render import did

CODE = PROJECT / "assistant"
Texts = dict[str, dict[str, str]]


def texts(language: str) -> Texts:
    return tomllib.loads((CODE / "texts" / f"{language}.toml").read_text(encoding="utf-8"))


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


ENGLISH = texts("en")
SECTIONS = "|".join(ENGLISH)
KEYS = {f"{part}.{name}" for part, named in ENGLISH.items() for name in named}

# Texts that are there and not said anywhere; each needs a reason.
SAID_BY_NOTHING_YET: frozenset[str] = frozenset()


def sources() -> Iterator[tuple[str, ast.AST]]:
    for file in sorted(CODE.rglob("*.py")):
        yield file.relative_to(PROJECT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def test_the_languages_are_the_files_and_the_choices_of_the_setting() -> None:
    assert set(LANGUAGES) == {f.stem for f in (CODE / "texts").glob("*.toml")}
    assert set(Settings.model_json_schema()["$defs"]["ChatSettings"]["properties"]["language"]["enum"]) == set(
        LANGUAGES
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_in_the_same_order_with_the_same_blanks_to_fill(language: str) -> None:
    other = texts(language)
    assert list(other) == list(ENGLISH)
    for part, named in ENGLISH.items():
        assert list(other[part]) == list(named), part
        for name, text in named.items():
            assert other[part][name].strip(), f"{part}.{name} is empty"
            assert placeholders(other[part][name]) == placeholders(text), f"{part}.{name}"
            assert all(p.isidentifier() for p in placeholders(text)), f"{part}.{name}"


def test_months_are_twelve_in_every_language() -> None:
    assert {len(texts(language)["web"]["months"].split()) for language in LANGUAGES} == {12}


def test_every_text_that_the_code_names_exists() -> None:
    missing = []
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.fullmatch(rf"({SECTIONS})\.[a-z_]*[a-z]", node.value) and node.value not in KEYS:
                    missing.append(f"{file}:{node.lineno}: {node.value}")
            elif isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
                begin = str(node.values[0].value)
                if re.fullmatch(rf"({SECTIONS})\.[a-z_]*", begin) and not any(k.startswith(begin) for k in KEYS):
                    missing.append(f"{file}:{node.lineno}: {begin}…")
    # A setting is named in a sentence now and then, as in chat.passages.
    named = {f"{part}.{key}" for part in ENGLISH for key in _settings_of(part)}
    assert [m for m in missing if m.split(": ")[1] not in named] == []


def _settings_of(part: str) -> set[str]:
    found = Settings.model_fields.get(part)
    return set(found.annotation.model_fields) if found else set()  # type: ignore[union-attr]


def test_every_text_is_given_the_values_that_it_has_blanks_for() -> None:
    wrong = []
    for file, tree in sources():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say"):
                continue
            key = node.args[1] if len(node.args) > 1 else None
            given = {k.arg for k in node.keywords}
            if isinstance(key, ast.Constant) and None not in given and key.value in KEYS:
                part, name = str(key.value).split(".")
                if not placeholders(ENGLISH[part][name]) <= given:
                    wrong.append(f"{file}:{node.lineno}: {key.value}")
    assert wrong == []


def test_every_text_that_a_template_names_exists_and_is_given_its_values() -> None:
    wrong, seen = [], 0
    for file in sorted((CODE / "web/admin/templates").glob("*.html")):
        for call in Environment(autoescape=True).parse(file.read_text(encoding="utf-8")).find_all(nodes.Call):
            if not (isinstance(call.node, nodes.Name) and call.node.name == "t"):
                continue
            seen += 1
            # A key put together from parts is not known here.
            if isinstance(key := call.args[0], nodes.Const):
                text = ENGLISH["admin"].get(key.value)
                if text is None or not placeholders(text) <= {k.key for k in call.kwargs}:
                    wrong.append(f"{file.name}:{call.lineno}: {key.value}")
    assert wrong == []
    assert seen > 20


def completed() -> Iterator[tuple[str, str]]:
    """The texts whose keys are put together from a beginning and a value, with all values that there are."""
    values: dict[str, Iterable[str]] = {
        "web.sure_": list(Level),
        "web.looked_": get_args(ToolUse.model_fields["outcome"].annotation),
        "web.tool_": lookups.TOOLS,
        "web.model_": get_args(Deployment.model_fields["tier"].annotation),
        "web.stage_": ("search", "write", "check"),
        "web.work_": ("waiting", "running", "done", "failed"),
    }
    return ((begin, value) for begin, every in values.items() for value in every)


def test_every_value_that_completes_a_key_has_its_text() -> None:
    assert [f"{begin}{value}" for begin, value in completed() if f"{begin}{value}" not in KEYS] == []
    # Those that are put together in the code are all looked at here.
    begins = {begin.split(".")[1] for begin, _ in completed()}
    written = "\n".join(f.read_text(encoding="utf-8") for f in CODE.rglob("web/*.py"))
    assert set(re.findall(r'f"web\.([a-z_]+_)\{', written)) <= begins


def deeds() -> Iterator[str]:
    """What the code writes into the audit log that somebody did."""
    for _, tree in sources():
        for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
            if ast.unparse(call.func) == "audit.note":
                yield from told(call.args[2])
            elif ast.unparse(call.func) == "AuditRow":
                yield from told(next((k.value for k in call.keywords if k.arg == "action"), None))


def test_every_deed_in_the_audit_log_is_said_in_words() -> None:
    known = set(deeds())
    assert len(known) > 10
    assert sorted(d for d in known if did("de", d) == d) == []


def test_no_text_is_left_over_that_nothing_says() -> None:
    pages = [*CODE.rglob("*.html"), *(PROJECT / "public").glob("*.js")]
    written = "\n".join(f.read_text(encoding="utf-8") for f in [*CODE.rglob("*.py"), *pages])
    words = set(re.findall(r"\w+", written))
    # What is put together from a beginning and a rest: f"web.stage_{name}", and t("state_" ~ state) in a template.
    begins = set(re.findall(rf'f"(?:{SECTIONS})\.([a-z_]+_)\{{', written)) | set(
        re.findall(r't\("([a-z_]+_)" ~', written)
    )
    left = {k for k in KEYS if (name := k.split(".")[1]) not in words and not name.startswith(tuple(begins))}
    assert left == SAID_BY_NOTHING_YET


def test_a_language_that_we_do_not_speak_is_answered_in_english() -> None:
    assert say("fr", "chat.stopped") == say("en", "chat.stopped")
    assert say("../../etc/passwd", "chat.stopped") == say("en", "chat.stopped")
    assert section("fr", "web") == section("en", "web")


def test_an_unknown_text_and_a_missing_value_are_errors_of_the_code() -> None:
    for key, values in (("chat.nothing", {}), ("nothing.stopped", {}), ("chat.too_long", {"length": 1})):
        with pytest.raises(KeyError):
            say("en", key, **values)


def test_braces_in_a_value_are_said_as_they_are() -> None:
    assert "{limit.__class__}" in say("en", "chat.too_long", length="{limit.__class__}", limit=1)


@pytest.mark.parametrize(
    ("header", "language"),
    [("de-DE,de;q=0.9,en;q=0.8", "de"), ("fr, DE", "de"), ("en-GB", "en"), ("", "en"), ("fr", "en"), ("*", "en"),
     (";;;,,,", "en"), ("x" * 100_000, "en")],
)  # fmt: skip
def test_the_first_language_of_the_browser_that_we_speak_is_picked(header: str, language: str) -> None:
    assert pick(header) == language
    assert pick("fr", "de") == "de"


SAID_TO_PEOPLE = ("assistant/web/", "assistant/memory/", "assistant/database/")
ERRORS = {"InputError", "LimitError", "NotFoundError", "BusyError", "FullError", "UnreachableError"}


def put(value: ast.expr) -> str:
    """What stands in the place of a value: a text that we know, else 7."""
    texts_of = {"_a(kind)": "a docx", "_UNDECODED": pdf._UNDECODED, "picture.INSTALL": picture.INSTALL}
    return texts_of.get(ast.unparse(value.value) if isinstance(value, ast.FormattedValue) else "", "7")


def told(node: ast.expr | None) -> Iterator[str]:
    """The texts that an expression may be, with 7 for what is put into them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(v.value) if isinstance(v, ast.Constant) else put(v) for v in node.values)
    elif isinstance(node, ast.IfExp):
        yield from [*told(node.body), *told(node.orelse)]


def reasons() -> Iterator[str]:
    """What the code says of files that it cannot read, or not whole."""
    for path, tree in sources():
        if not path.startswith(("assistant/index/sources/", "assistant/index/parse", "assistant/index/workers")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ParseError":
                yield from told(node.args[0])
            elif (isinstance(node, ast.keyword) and node.arg == "note") or (
                isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in {"note", "problem", "reason"}
            ):
                yield from told(node.value)


def test_every_reason_why_a_file_is_not_read_is_said_in_german() -> None:
    known = {r for r in reasons() if r}
    assert len(known) > 50
    assert sorted(r for r in known if reason("de", r) == r) == []


def refusals() -> Iterator[str]:
    """What the code says to people who sit at a browser when something cannot be done."""
    # The command line, and what programs are told, is English.
    elsewhere = ("assistant/memory/asked", "assistant/memory/keys", "assistant/memory/people", "assistant/web/app")
    for path, tree in sources():
        if not path.startswith(("assistant/web/", "assistant/memory/", "assistant/database/")) or path.startswith(
            elsewhere
        ):
            continue
        if path.endswith("api.py"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and node.args:
                for problem in told(node.args[0]):
                    yield from (f"{problem} {action}" for action in told(node.args[1]))


def test_every_refusal_that_a_person_meets_is_said_in_german() -> None:
    known = set(refusals())
    assert len(known) > 25
    assert sorted(r for r in known if reason("de", r) == r) == []


def test_what_a_run_is_doing_is_said_in_german() -> None:
    calls = (n for path, tree in sources() if path.startswith("assistant/index/") for n in ast.walk(tree))
    doing = {
        text
        for call in calls
        if isinstance(call, ast.Call) and getattr(call.func, "id", getattr(call.func, "attr", "")) in {"beat", "_beat"}
        for text in told(call.args[2])
    }
    assert len(doing) > 3
    assert sorted(d for d in doing if reason("de", d) == d) == []


def test_reasons_keep_what_is_in_them_and_what_is_unknown_stays() -> None:
    assert reason("de", "not valid JSON: line 3, column 14") == "kein gültiges JSON: Zeile 3, Spalte 14"
    scanned = "3 pages hold only images; install tesseract to read them"
    assert reason("de", scanned) == "3 Seiten enthalten nur Bilder; tesseract installieren, um sie zu lesen"
    assert reason("de", "something {new}") == "something {new}"
    assert reason("en", "holds no text") == reason("fr", "holds no text") == "holds no text"
