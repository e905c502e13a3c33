"""Who may enter a route of ours."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException

from assistant.domain import Asker
from assistant.web.sessions import present


async def signed_in() -> Asker:
    """The asker, or 401."""
    asker = present().asker
    if asker is None:
        raise HTTPException(401, "Sign in first.")
    return asker


async def admin() -> Asker:
    """The asker if they are an admin; for anybody else the page does not exist."""
    asker = present().asker
    if asker is None or not asker.is_admin:
        raise HTTPException(404, "Not found.")
    return asker


SignedIn = Annotated[Asker, Depends(signed_in)]
Admin = Annotated[Asker, Depends(admin)]
