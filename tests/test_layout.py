"""The house is built as DESIGN says: each module says what it is for, and the environment comes in by one door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.settings import PROJECT

CODE = PROJECT / "assistant"
TESTS = PROJECT / "tests"
MODULES = sorted(p.relative_to(CODE).as_posix() for p in CODE.rglob("*.py"))
# Tests of the whole, by what they are about, and the doubles that stand in for what is outside.
NOT_MIRRORS = {"contract", "e2e", "faults", "security", "fakes"}
# Where a name of the environment may be read: settings, and the door that must speak before LiteLLM is imported.
READERS = {"settings.py", "chat/models.py"}
# What must be set for a library before its door imports it.
LIBRARIES = ("LITELLM_", "LANCEDB_", "OPENBLAS_")


def parsed(module: str) -> ast.Module:
    return ast.parse((CODE / module).read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    tree = parsed(module)
    # A package that holds nothing but modules may be an empty file.
    assert not tree.body or ast.get_docstring(tree), f"assistant/{module} has no docstring"


def test_no_module_is_a_drawer_for_everything() -> None:
    names = {part for m in MODULES for part in Path(m).with_suffix("").parts}
    assert names.isdisjoint({"utils", "util", "helpers", "helper", "common", "misc", "core", "base"})


def test_every_folder_of_tests_mirrors_a_package_or_names_what_it_is_about() -> None:
    folders = {p.parent.relative_to(TESTS) for p in TESTS.rglob("test_*.py")} - {Path()}
    mirrors = {f for f in folders if f.parts[0] not in NOT_MIRRORS}
    assert [f.as_posix() for f in sorted(mirrors) if not (CODE / f / "__init__.py").is_file()] == []


def test_tests_are_named_after_what_they_promise() -> None:
    names = [
        f"{file.relative_to(TESTS)}: {node.name}"
        for file in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert [n for n in names if n.split(": ")[1].count("_") < 4] == []


def _environment(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every use of the environment: its line, and `read`, `copied` (to a child) or the name that is set."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"getenv", "environb"}:
            yield node.lineno, "read"
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            if {a.name for a in node.names} & {"environ", "getenv"}:
                yield node.lineno, "read"
        elif isinstance(node, ast.Attribute) and node.attr == "environ" and ast.unparse(node) == "os.environ":
            above = parents[node]
            if isinstance(above, ast.Dict):
                yield node.lineno, "copied"
            elif isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Store):
                yield node.lineno, ast.literal_eval(above.slice)
            elif isinstance(above, ast.Attribute) and above.attr == "setdefault":
                yield node.lineno, ast.literal_eval(parents[above].args[0])  # type: ignore[attr-defined]
            else:
                yield node.lineno, "read"


def test_the_environment_is_read_by_settings_alone() -> None:
    for module in MODULES:
        for line, use in _environment(parsed(module)):
            allowed = (
                module in READERS
                or use == "copied"
                or (use.startswith("CHAINLIT_") and module.startswith("web/"))
                or use.startswith(LIBRARIES)
                or (use == "ASSISTANT_CONFIG" and module == "cli.py")  # set for the processes that it starts
            )
            assert allowed, f"assistant/{module}:{line} uses the environment ({use}); take it from Settings"


def test_the_check_of_the_environment_sees_every_way_of_reading_it() -> None:
    code = (
        "import os\nos.environ['A']\nos.environ.get('A')\nos.getenv('A')\n'A' in os.environ\nfrom os import environ\n"
    )
    assert [use for _, use in _environment(ast.parse(code))].count("read") == 5
    code = "os.environ['CHAINLIT_URL'] = 'x'\nrun(env={**os.environ})\nos.environ.setdefault('LITELLM_X', '1')\n"
    assert sorted(use for _, use in _environment(ast.parse(code))) == ["CHAINLIT_URL", "LITELLM_X", "copied"]
