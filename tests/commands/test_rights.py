from __future__ import annotations

from pathlib import Path

import pytest

from assistant import bootstrap
from assistant.commands import rights
from assistant.domain import ADMINS
from assistant.errors import NotFoundError
from assistant.memory import people
from assistant.settings import AccessEntry, Policy, Settings
from tests.commands.conftest import sync


async def test_what_other_groups_would_change_for_somebody_is_told_before_it_holds(
    installed: Settings, tmp_path: Path
) -> None:
    entry = AccessEntry(match="**", groups=["sales"])
    two = installed.sources[1].model_copy(update={"access": [entry]})
    settings = installed.model_copy(update={"sources": [installed.sources[0], two]})
    await sync(settings)
    async with bootstrap.database(settings) as db:
        await people.add(db, "ada@example.test", groups=["old"])
    for dry_run, kept in ((True, ["old"]), (False, ["sales"])):
        told = await rights.set_groups(settings, "ada@example.test", [" sales"], dry_run=dry_run)
        assert told["groups"] == ["sales"]
        assert told["change"] == {"person": "ada@example.test", "gains": ["b.md"], "loses": []}
        async with bootstrap.database(settings) as db:
            person = await people.by_email(db, "ada@example.test")
            assert person is not None
            assert person.groups == kept
    told = await rights.set_groups(settings, "ada@example.test", [""], dry_run=True)
    assert told["change"]["loses"] == ["b.md"]
    with pytest.raises(NotFoundError, match="no account"):
        await rights.set_groups(settings, "bob@example.test", ["sales"], dry_run=True)


async def test_a_group_that_no_rule_and_no_policy_names_is_told(installed: Settings) -> None:
    entry = AccessEntry(match="**", groups=["sales"])
    two = installed.sources[1].model_copy(update={"access": [entry]})
    policy = Policy(topics=["salary"], except_groups=["hr"])
    settings = installed.model_copy(update={"sources": [installed.sources[0], two], "policies": [policy]})
    async with bootstrap.database(settings) as db:
        await people.add(db, "ada@example.test")
    told = await rights.set_groups(settings, "ada@example.test", ["sales", "hr", ADMINS, "slaes"], dry_run=False)
    assert told["unknown"] == ["slaes"]
    async with bootstrap.database(settings) as db:
        person = await people.by_email(db, "ada@example.test")
        assert person is not None
        assert "slaes" in person.groups, "it is said, and not refused"
