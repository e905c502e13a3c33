"""Figures for Prometheus are for this machine, or for whoever has the key."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.web.conftest import Chat, Site


async def test_the_figures_tell_of_answers_and_releases_in_prometheus_text(
    site: Site, chat: Chat, ada: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    async with site.client() as nobody:
        answer = await nobody.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {s.name: s for f in text_string_to_metric_families(answer.text) for s in f.samples}
    assert found["assistant_answers_today"].value >= 1
    assert found["assistant_release"].value == 1
    assert found["assistant_model_calls_today"].labels == {"feature": "answer", "outcome": "ok"}
    assert "ada" not in answer.text


async def test_what_a_proxy_passed_on_is_not_of_this_machine(site: Site) -> None:
    async with site.client() as nobody:
        for header in ("X-Forwarded-For", "Forwarded", "Via"):
            assert (await nobody.get("/metrics", headers={header: "1.2.3.4"})).status_code == 404


async def test_with_a_key_only_the_key_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_KEY", "a long enough key")
    made = Site(tmp_path, web={"metrics_key_env": "METRICS_KEY"})
    try:
        async with made.client() as nobody:
            for given, status in (("", 404), ("Bearer wrong", 404), ("Basic a long enough key", 404),
                                  ("Bearer a long enough key", 200)):  # fmt: skip
                assert (await nobody.get("/metrics", headers={"Authorization": given})).status_code == status
    finally:
        made.end()
