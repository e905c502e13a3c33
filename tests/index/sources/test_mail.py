from __future__ import annotations

import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest

from assistant.errors import InputError, ParseError
from assistant.index.sources.mail import Mail
from assistant.settings import Source
from tests.index.conftest import Index, asker, put

pytestmark = pytest.mark.usefixtures("in_process")
MB = 1_000_000


def message(subject: str, text: str) -> EmailMessage:
    made = EmailMessage()
    made["Subject"], made["From"], made["Date"] = subject, "ada@example.test", "Mon, 05 Jan 2026 10:00:00 +0000"
    made.set_content(text)
    return made


def fill(path: Path, *messages: EmailMessage) -> None:
    box = mailbox.mbox(path)
    for one in messages:
        box.add(one)
    box.close()


async def test_each_message_of_an_mbox_is_a_document_and_stays_the_same_when_others_join(index: Index) -> None:
    box = index.home / "team.mbox"
    fill(box, message("Server move", "The move is on Friday.\n\nFrom here on all is new."), message("Lunch", "Soup."))
    source = Source(name="mail", kind="mail", path=box)
    assert (await index.sync(None, source)).added == 2
    (found,) = [p for p in await index.found("server move friday") if p.startswith("team.mbox/")][:1]
    text = Mail(source).read(found, MB).data
    assert b"\nFrom here on all is new." in text
    fill(box, message("Parking", "Level two."))
    again = await index.sync(None, source)
    assert (again.added, again.changed, again.unchanged) == (1, 0, 2)
    passages = (await index.knowledge.search(asker(), "parking level", 3)).passages
    assert passages[0].title == "Parking"
    original = await index.knowledge.original(asker(), passages[0].document_id)
    assert original.data is not None
    assert b"Level two." in original.data


def test_a_folder_of_messages_and_boxes_is_read_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, {"a.eml": bytes(message("A", "x")), "notes.txt": "x", "cur/1:2,S": bytes(message("B", "y"))})
    fill(tmp_path / "old.mbox", message("C", "z"), message("C", "z"))
    (tmp_path / "out.mbox").symlink_to("/etc/passwd")
    read = Mail(Source(name="mail", kind="mail", path=tmp_path))
    found = {f.path: f.problem for f in read.documents()}
    assert [p for p in found if not p.startswith("old.mbox/")] == ["a.eml", "out.mbox", "cur/1:2,S"]
    assert found["out.mbox"]
    # Of two that are the same one counts.
    assert sum(p.startswith("old.mbox/") for p in found) == 1
    assert read.read("cur/1:2,S", MB).name == "cur/1:2,S.eml"


@pytest.mark.parametrize("path", ["out.mbox/x.eml", "../a.eml", "old.mbox/none.eml", "none.mbox/x.eml"])
def test_a_path_that_is_no_message_is_refused(tmp_path: Path, path: str) -> None:
    fill(tmp_path / "old.mbox", message("C", "z"))
    (tmp_path / "out.mbox").symlink_to("/etc/passwd")
    with pytest.raises(ParseError):
        Mail(Source(name="mail", kind="mail", path=tmp_path)).read(path, MB)


def test_a_message_that_was_written_over_since_is_not_taken_for_another(tmp_path: Path) -> None:
    fill(tmp_path / "a.mbox", message("One", "first"), message("Two", "second"))
    read = Mail(Source(name="mail", kind="mail", path=tmp_path))
    first = next(f.path for f in read.documents())
    data = (tmp_path / "a.mbox").read_bytes()
    (tmp_path / "a.mbox").write_bytes(data.replace(b"first", b"other"))
    with pytest.raises(ParseError, match="changed while it was read"):
        read.read(first, MB)


def test_a_mail_folder_that_is_not_there_is_an_error_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such"):
        list(Mail(Source(name="mail", kind="mail", path=tmp_path / "none.mbox")).documents())
