"""When a source is due: the words of cron, in UTC."""

from __future__ import annotations

from datetime import datetime

from cronsim import CronSim


def following(words: str, after: datetime) -> datetime | None:
    """The first moment of a schedule after another; None where there is no schedule or it never comes."""
    return next(CronSim(words, after), None) if words else None
