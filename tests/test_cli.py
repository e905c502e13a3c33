"""What the command line prints for people."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

from assistant.settings import PROJECT

ADDRESS = "a-person-with-quite-a-long-name@a-company-with-a-long-name.example"


def _assistant(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "assistant", *words, "--data", str(data)]
    return subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True)


def test_a_table_that_is_piped_on_cuts_nothing_off(tmp_path: Path) -> None:
    words = ("--name", "Ada Byron", "--groups", "engineering,leadership", "--password", "correct horse battery")
    assert _assistant(tmp_path, "users", "add", ADDRESS, *words).returncode == 0
    listed = _assistant(tmp_path, "users", "list").stdout
    row = next(line for line in listed.splitlines() if "Ada Byron" in line)
    assert row.split() == [ADDRESS, "Ada", "Byron", "engineering,", "leadership", "yes"]


def test_a_new_account_in_a_group_that_nothing_names_is_made_and_the_group_is_told(tmp_path: Path) -> None:
    words = ("--groups", "engineering,enginering,admins", "--password", "correct horse battery")
    made = _assistant(tmp_path, "users", "add", ADDRESS, *words)
    assert made.returncode == 0
    told = "No rule and no policy names the group enginering: is it spelled as in assistant.toml?"
    assert " ".join(made.stderr.split()) == told


def test_a_server_whose_port_is_taken_says_so_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        served = _assistant(tmp_path, "serve", "--port", str(port))
    assert served.returncode == 2
    said = f"Another program listens on 127.0.0.1:{port}. Name another --port, or end it."
    assert served.stderr.strip() == said


def test_a_server_that_cannot_start_ends_and_says_why_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    (tmp_path / "assistant.db").write_bytes(b"This was a database once. " * 100)
    served = _assistant(tmp_path, "serve", "--port", str(port))
    assert served.returncode == 2
    begin = f"The database {tmp_path}/assistant.db cannot be used: file is not a database."
    assert served.stderr.startswith(begin)
    assert served.stderr.count("\n") == 1


def test_a_talk_goes_on_by_its_number_and_an_unknown_one_is_not_begun(tmp_path: Path) -> None:
    folder, data = tmp_path / "documents", tmp_path / "data"
    folder.mkdir()
    (folder / "leave.md").write_text("# Leave\n\nStaff get thirty days of leave a year.\n")
    assert _assistant(data, "index", "sync", str(folder)).returncode == 0
    assert _assistant(data, "users", "add", ADDRESS, "--password", "correct horse battery").returncode == 0
    ask = ("ask", "How many days of leave do staff get?", "--as", ADDRESS, "--json")
    refused = _assistant(data, *ask, "--thread", "no-such-talk")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no such conversation" in refused.stderr
    first = json.loads(_assistant(data, *ask).stdout)["thread"]
    assert first != "no-such-talk"
    assert json.loads(_assistant(data, *ask, "--thread", first).stdout)["thread"] == first
