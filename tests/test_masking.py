"""Secrets and personal data are not in what is written for others to read."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Iterator

import pytest

from assistant.masking import mask, mask_logs


@pytest.mark.parametrize(
    ("secret", "left"),
    [
        ("sk-proj-CANARY0123456789", "[key]"),
        ("AKIACANARY0123456789", "[key]"),
        ("ghp_CANARY0123456789012345678901234567", "[key]"),
        ("xoxb-CANARY-0123456789", "[key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.c2lnbmF0dXJl", "[token]"),
        ("Authorization: Bearer CANARY0123456789abc", "Authorization: Bearer [token]"),
        ("password = CANARY-hunter22", "password = [secret]"),
        ('"api_key": "CANARY123456"', '"api_key": "[secret]"'),
        ("postgresql+asyncpg://app:CANARY99@db.local/x", "postgresql+asyncpg://app:[password]@db.local/x"),
        ("DE89 3704 0044 0532 0130 00", "[iban]"),
        ("4111 1111 1111 1111", "[card]"),
        ("630427373398", "[card]"),
        ("mara.lindt+x@example.test", "[e-mail]"),
        ("+49 (0)421 5550-112", "[phone]"),
        ("905-674-3793", "[phone]"),
        ("0421 5550 112", "[phone]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nCANARY\n-----END RSA PRIVATE KEY-----", "[key]"),
    ],
)
def test_what_would_harm_in_a_log_is_masked(secret: str, left: str) -> None:
    assert mask(f"it is {secret} there") == f"it is {left} there"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24 12:07:50,123 WARNING release 12 has 285 passages",
        "127.0.0.1:8000",
        "192.168.178.101",
        "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d",
        "from 1,200 to 16.900 EUR on 03.05.2026",
        "What does the password policy say?",
    ],
)
def test_times_figures_ids_and_questions_stay(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize("piece", ["a", "1", "1 ", "a.", "a@", "://", "+1 ", "password: ", "eyJ", "A1"])
def test_a_long_text_does_not_hold_the_process_up(piece: str) -> None:
    began = time.process_time()
    mask(piece * 20_000)
    assert time.process_time() - began < 5  # quadratic patterns take minutes


@pytest.fixture
def masked_logs() -> Iterator[io.StringIO]:
    factory, hook = logging.getLogRecordFactory(), sys.excepthook
    mask_logs()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log = logging.getLogger("some.library")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)
    logging.setLogRecordFactory(factory)
    sys.excepthook = hook


def test_every_log_line_is_masked_in_its_text_arguments_and_traceback(masked_logs: io.StringIO) -> None:
    log = logging.getLogger("some.library")
    log.warning("key sk-CANARY0123456789 of %s after %d tries", "ada.canary@example.test", 3)
    log.warning("%(who)s", {"who": "canary@example.test"})
    log.error(ValueError("DE89370400440532013000"))
    try:
        raise RuntimeError("provider said: invalid key sk-CANARY0123456789")
    except RuntimeError:
        log.exception("it failed")
    text = masked_logs.getvalue()
    assert "after 3 tries" in text
    assert "RuntimeError: provider said: invalid key [key]" in text
    assert "Traceback" in text
    assert not any(c in text for c in ("CANARY0123", "canary@", "DE8937"))


def test_of_what_a_library_says_below_info_nothing_is_printed_whoever_lets_it(masked_logs: io.StringIO) -> None:
    log = logging.getLogger("some.library")
    log.setLevel(logging.DEBUG)
    log.debug("prompt: %s", "a whole document", exc_info=ValueError("canary"))
    log.setLevel(logging.NOTSET)
    assert masked_logs.getvalue() == "DEBUG (not logged)\n"


def test_an_uncaught_error_is_masked_too(masked_logs: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    error = RuntimeError("token=CANARY0123456789")
    sys.excepthook(RuntimeError, error, None)
    assert "RuntimeError: token=[secret]" in capsys.readouterr().err
