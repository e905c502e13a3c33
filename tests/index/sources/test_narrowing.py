"""Rights that stand beside a document or in it only ever take away."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from sqlmodel import select

from assistant.database.tables import AccessRule, DocumentRow
from assistant.domain import EVERYONE
from assistant.index import access
from assistant.index.sources import folder
from assistant.index.sources.narrowing import narrower
from assistant.settings import AccessEntry, Source
from tests.index.conftest import Index, asker, put

pytestmark = pytest.mark.usefixtures("in_process")
PAY = "# Pay\n\nThe salary bands of the year."


def groups(root: Path) -> dict[str, tuple[str, ...] | str | None]:
    return {f.path: f.problem or f.groups for f in folder.walk(Source(name="share", path=root))}


def test_sidecars_are_no_documents_and_narrow_what_lies_beside_and_below_them(tmp_path: Path) -> None:
    put(tmp_path, {
        "a.md": "x", "hr/b.md": "x", "hr/deep/c.md": "x", "hr/d.md": "x",
        "hr/.access.toml": 'groups = ["people", "law"]', "hr/d.md.access.toml": 'groups = ["law", "sales"]',
    })  # fmt: skip
    both = ("law", "people")
    assert groups(tmp_path) == {"a.md": None, "hr/b.md": both, "hr/d.md": ("law",), "hr/deep/c.md": both}


@pytest.mark.parametrize("content", ["groups = [", "groups = 5", "groups = []", "", 'group = ["a"]', b"\xff\xfe"])
def test_a_sidecar_that_cannot_be_read_keeps_its_document_out(tmp_path: Path, content: str | bytes) -> None:
    put(tmp_path, {"a.md": "x", "a.md.access.toml": content, "b.md": "x"})
    found = groups(tmp_path)
    assert "a.md.access.toml" in str(found["a.md"])
    assert found["b.md"] is None


def test_a_sidecar_that_is_a_link_is_not_followed_and_keeps_its_document_out(tmp_path: Path) -> None:
    put(tmp_path, {"in/a.md": "x", "wide.toml": 'groups = ["everyone"]'})
    (tmp_path / "in/a.md.access.toml").symlink_to(tmp_path / "wide.toml")
    assert "cannot be read" in str(groups(tmp_path / "in")["a.md"])


def test_whoever_may_read_what_was_narrowed_was_admitted_by_both_sides() -> None:
    names = [EVERYONE, "a", "b", "c"]
    several = [set(s) for n in (1, 2, 3) for s in itertools.combinations(names, n)]
    for allowed, said in itertools.product(several, several):
        left = set(narrower(allowed, said))
        for who in several:
            mine = who | {EVERYONE}
            if mine & left:
                assert mine & allowed
                assert mine & said


async def test_front_matter_narrows_and_never_widens(index: Index) -> None:
    index.source = Source(
        name="share", path=index.folder, access=[AccessEntry(match="hr/**", groups=["people", "law"])]
    )
    report = await index.sync({
        "pay.md": f"---\ngroups: [people]\n---\n{PAY}", "hr/pay.md": f"---\ngroups: [everyone]\n---\n{PAY} Again.",
        "hr/law.md": f"---\ngroups: law, sales\n---\n{PAY} Twice.", "odd.md": f"---\ngroups: 7\n---\n{PAY}",
        "broken.md": f"---\ngroups: [people\n---\n{PAY}",
    })  # fmt: skip
    assert sorted(f["path"] for f in report.failed) == ["broken.md", "odd.md"]
    assert await index.found("salary bands") == []
    assert await index.found("salary bands", asker("sales")) == []
    assert set(await index.found("salary bands", asker("people"))) == {"pay.md", "hr/pay.md"}
    assert set(await index.found("salary bands", asker("law"))) == {"hr/pay.md", "hr/law.md"}


async def test_a_sidecar_holds_from_the_next_run_without_an_embedding_and_its_removal_too(index: Index) -> None:
    await index.sync({"pay.md": PAY, "other.md": "# Other\n\nLunch."})
    assert (await index.sync({"pay.md.access.toml": 'groups = ["people"]'})).embedded == 0
    assert "pay.md" not in await index.found("salary")
    assert "pay.md" in await index.found("salary", asker("people"))
    assert (await index.sync({"pay.md.access.toml": None})).embedded == 0
    assert "pay.md" in await index.found("salary")


async def test_a_change_of_the_settings_keeps_what_documents_say_themselves(index: Index) -> None:
    await index.sync({"hr/pay.md": f"---\ngroups: [people]\n---\n{PAY}"})
    index.restrict(hr=["people", "law"])
    async with index.db.write() as session:
        await access.realign(session, [index.source])
    assert await index.found("salary", asker("law")) == []
    assert await index.found("salary", asker("people")) == ["hr/pay.md"]
    index.restrict(hr=["law"])
    async with index.db.write() as session:
        changes = await access.preview(session, [index.source], [asker("people"), asker("law")])
        await access.realign(session, [index.source])
    assert [(c.gains, c.loses) for c in changes] == [((), ("hr/pay.md",))]
    # Nobody is in both; so nobody reads it.
    assert await index.found("salary", asker("people", "law")) == []
    async with index.db.read() as session:
        document = (await session.exec(select(DocumentRow))).one()
        rule = await session.get(AccessRule, document.rule_id)
    assert rule is not None
    assert (rule.key, rule.groups) == ("share:hr/** ∩ people", [])


async def test_a_restriction_that_leaves_with_a_new_version_is_kept_until_that_version_is_live(index: Index) -> None:
    """A run that is killed after it read the new version must not open the old one."""
    await index.sync({"pay.md": f"---\ngroups: [people]\n---\n{PAY}"})
    put(index.folder, {"pay.md": "# Pay\n\nOpen now."})

    class Killed(BaseException): ...

    async def killed(*_: object) -> None:
        raise Killed

    index.embedder.read, read = killed, index.embedder.read  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        await index.sync()
    index.embedder.read = read  # type: ignore[method-assign]
    assert await index.found("salary bands") == []
    # The file is put back: its bytes are those of the release, but not what SQL says of it.
    await index.sync({"pay.md": f"---\ngroups: [people]\n---\n{PAY}"})
    assert await index.found("salary bands") == []
    assert await index.found("salary bands", asker("people")) == ["pay.md"]
