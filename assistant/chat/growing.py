"""Answers are kept while they grow, those of all turns of a process in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from assistant.database.engine import Database
from assistant.errors import AssistantError
from assistant.memory import threads

log = logging.getLogger(__name__)
# A cut loses at most this many seconds of text.
EVERY_S = 0.5


class Growing:
    """What has been shown of the answers under way. A write that fails is tried again with more text of its answer;
    the turn's end, which is written apart, tells the person."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._shown: dict[str, Sequence[str]] = {}
        self._task: asyncio.Task[None] | None = None

    def keep(self, answer_id: str, shown: Sequence[str]) -> None:
        """Keep soon what is in `shown` by then."""
        self._shown[answer_id] = shown
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write(), name="growing answers")

    def drop(self, answer_id: str) -> None:
        """It is stored whole now, or will be in a moment."""
        self._shown.pop(answer_id, None)

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _write(self) -> None:
        while self._shown:
            await asyncio.sleep(EVERY_S)
            texts = {answer_id: "".join(shown) for answer_id, shown in self._shown.items()}
            self._shown = {}
            try:
                if texts:
                    await threads.grow(self._db, texts)
            except AssistantError as error:
                log.warning("growing answers were not kept: %s", type(error).__name__)
