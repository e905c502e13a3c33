"""Signing in and out: by password, by a trusted proxy's header, by single sign-on."""

from __future__ import annotations

import logging
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from assistant.database.tables import Person
from assistant.errors import InputError
from assistant.memory import people, tries
from assistant.web import house
from assistant.web.limits import PER_S, TRIES, TRIES_OF_ADDRESS, Tries
from assistant.web.sessions import COOKIE, present, stamp
from assistant.web.surface import CHAT

log = logging.getLogger(__name__)
router = APIRouter(prefix=CHAT)
by_account = Tries()
by_address = Tries(TRIES_OF_ADDRESS)
# One account may be tried from many addresses, and one address may try many accounts: both are counted.


def chainlit_user(person: Person) -> Any:
    """The person as Chainlit knows people, with the moment the session begins."""
    from chainlit.user import User

    return User(identifier=person.id, display_name=person.name or person.email, metadata=stamp())


@router.post("/login")
async def sign_in(
    request: Request,
    username: Annotated[str, Form(max_length=254)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
) -> Response:
    """Sign in by password. Five failures within a minute close the door for an account, fifty for an address."""
    from chainlit.auth import create_jwt

    settings = house.parts().settings
    if not settings.web.password_login:
        return JSONResponse({"detail": "credentialssignin"}, status_code=404)
    account, address = username.strip().lower()[:254], present().address
    db, names = house.parts().db, {f"account {account}": TRIES, f"address {address}": TRIES_OF_ADDRESS}
    # Counted here too: on this clock, setting the machine's back frees nobody.
    here = by_account.exhausted(account) or by_address.exhausted(address)
    if here or await tries.exhausted(db, names, PER_S):
        return JSONResponse({"detail": "toomany"}, status_code=429, headers={"Retry-After": "60"})
    # Counted before the password is checked: tries that run side by side count as well.
    by_account.take(account)
    by_address.take(address)
    taken = await tries.take(db, list(names), PER_S)
    person = await people.authenticate(db, username, password)
    if person is None:
        return JSONResponse({"detail": "credentialssignin"}, status_code=401)
    by_account.forget(account)
    by_address.give_back(address)
    await tries.worked(db, f"account {account}", taken)
    response = JSONResponse({"success": True})
    _set_cookie(response, COOKIE, create_jwt(chainlit_user(person)), settings.web.session_hours * 3600)
    return response


@router.post("/logout")
async def sign_out(request: Request) -> Response:
    """End every session of the person; a copy of the token is worth nothing afterwards."""
    response = JSONResponse({"success": True})
    for name in request.cookies:
        if name.startswith(COOKIE):
            response.delete_cookie(name)
    person = present().person
    if person is not None:
        await people.revoke_sessions(house.parts().db, person.email)
        from assistant.web.sockets import hang_up

        await hang_up(person.id)
    return response


@router.post("/set-session-cookie")
async def remember_connection(request: Request) -> Response:
    """A cookie that a balancer may route by. It holds the socket's id and nothing else."""
    try:
        session = str(UUID(str((await request.json())["session_id"])))
    except (ValueError, KeyError, TypeError):
        return JSONResponse({"detail": "Not a connection's id."}, status_code=400)
    response = JSONResponse({"message": "kept"})
    _set_cookie(response, "X-Chainlit-Session-id", session, None)
    return response


def _set_cookie(response: Response, name: str, value: str, seconds: int | None) -> None:
    secure = house.parts().settings.web.secure
    response.set_cookie(name, value, max_age=seconds, httponly=True, secure=secure, samesite="lax", path="/")


async def by_header(headers: Headers) -> Any:
    """Who a trusted proxy says it is; the shield took the header out if anybody else sent it."""
    name = house.parts().settings.web.trusted_header
    email = headers.get(name, "") if name else ""
    person = await admitted(email, name="", groups=None) if email else None
    return chainlit_user(person) if person else None


async def admitted(email: str, name: str, groups: list[str] | None) -> Person | None:
    """The account of somebody whom another system vouches for, made on their first visit; None if it was closed.

    `groups` replace those of the account when the other system says which they are.
    """
    db = house.parts().db
    try:
        person = await people.by_email(db, email) or await people.add(db, email, name=name, groups=groups or ())
    except InputError:
        log.warning("a sign-in was refused: the other system sent no usable e-mail address")
        return None
    if not person.active:
        return None
    if groups is not None and set(groups) - {"everyone"} != set(person.groups):
        person = await people.set_groups(db, person.email, groups)
    return person
