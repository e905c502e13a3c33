"""The application once everything is loaded: our routes, the admin pages, and Chainlit mounted under /chat."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from assistant.errors import AssistantError, NotFoundError
from assistant.memory import threads
from assistant.settings import PROJECT, Settings
from assistant.texts import reason, say
from assistant.web import chainlit_home, house, reading, signin
from assistant.web.security import Shield
from assistant.web.sessions import present, signing_secret
from assistant.web.surface import CHAT
from assistant.web.templating import SHARED, templates

_REPLACED = frozenset({"CORSMiddleware", "ChainlitMiddleware"})
_pages = templates(SHARED)
CALLBACKS = Path(__file__).with_name("chat_ui.py")


def build(settings: Settings) -> ASGIApp:
    """Put the routes together around the furnished parts. Chainlit has been imported before (`chainlit_home`)."""
    # Chainlit is only imported now: it reads its folder at import.
    from chainlit import server
    from chainlit.utils import mount_chainlit

    from assistant.web import api, metrics, questions_api, ratings, sockets
    from assistant.web.admin import glossary, index_routes, receipts, rules
    from assistant.web.admin import routes as admin
    from assistant.web.me import projects, questions
    from assistant.web.me import routes as me

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(signin.router)
    app.include_router(ratings.router)
    app.include_router(reading.router)
    app.include_router(api.router)
    app.include_router(questions_api.router)
    app.include_router(metrics.router)
    app.include_router(admin.router)
    app.include_router(index_routes.router)
    app.include_router(rules.router)
    app.include_router(glossary.router)
    app.include_router(receipts.router)
    app.include_router(me.router)
    app.include_router(questions.router)
    app.include_router(projects.router)
    app.add_api_route("/", _to_chat, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/thread/{thread_id}", _to_thread, include_in_schema=False)
    app.mount("/public", StaticFiles(directory=PROJECT / "public"))
    page = chainlit_home.self_contained(server.get_html_template(CHAT))
    # The page is the same for everybody: it is made once, and its inline scripts are known by their hashes.
    server.get_html_template = lambda _root: page

    async def talk(thread_id: str) -> Response:
        """The page of a talk, for whose it is: Chainlit would open any address, and call the connection gone."""
        if (asker := present().asker) is not None:
            try:
                await threads.of(house.parts().db, asker, thread_id)
            except NotFoundError:
                language = present().language
                return _problem(404, say(language, "web.no_talk_more"), say(language, "web.no_talk"))
        return HTMLResponse(page)

    app.add_api_route(f"{CHAT}/thread/{{thread_id}}", talk)
    mount_chainlit(app=app, target=str(CALLBACKS), path=CHAT)
    _without_doubles(server.app)
    sockets.guard_sockets()
    _single_sign_on(app, settings)
    app.add_exception_handler(AssistantError, _say_it)
    app.add_exception_handler(HTTPException, _say_it)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(Exception, _broken)
    hashes = chainlit_home.script_hashes(page)
    return Shield(app, settings, signing_secret(settings), lambda: house.parts().db, lambda: hashes)


def _without_doubles(chainlit_app: FastAPI) -> None:
    """Chainlit's own middleware, but for compression: the shield decides on origins, and the mount on paths."""
    chainlit_app.user_middleware = [
        m for m in chainlit_app.user_middleware if getattr(m.cls, "__name__", "") not in _REPLACED
    ]


async def _to_chat() -> Response:
    return RedirectResponse(CHAT, status_code=302)


async def _to_thread(thread_id: str) -> Response:
    # Chainlit forgets its mount in one place.
    return RedirectResponse(f"{CHAT}/thread/{thread_id[:64]}", status_code=302)


def _single_sign_on(app: FastAPI, settings: Settings) -> None:
    if not settings.web.oidc.issuer:
        return
    from chainlit.oauth_providers import providers

    from assistant.web.oidc import OidcProvider

    provider = OidcProvider(settings)
    providers.append(provider)
    app.state.discovery = asyncio.get_running_loop().create_task(provider.discover())


async def _say_it(request: Request, error: Exception) -> Response:
    """An error that a person may read, in the form that the caller reads: a page for pages, JSON for the rest."""
    if isinstance(error, AssistantError):
        status, text = error.http_status, str(error)
    else:
        assert isinstance(error, HTTPException)
        status, text = error.status_code, str(error.detail)
    path, page = request.url.path, _wants_page(request)
    if not path.startswith("/v1/"):  # programs read one language
        text = reason(present().language, text)
    # An admin whose session is over is led to the sign-in too; what stands behind it is told to nobody.
    away = status == 401 or (path.startswith("/admin") and present().person is None)
    if page and away and request.method == "GET":
        return RedirectResponse(f"{CHAT}/login", status_code=302)
    if path.startswith("/documents/"):
        if status == 401:
            return RedirectResponse(f"{CHAT}/login", status_code=302)
        text = say(present().language, "web.no_document") if status == 404 else text
        return _problem(status, text) if page else PlainTextResponse(text, status)
    if page and not path.startswith("/api/"):
        return _problem(status, say(present().language, "web.no_page_more") if status == 404 else text)
    return JSONResponse({"detail": text}, status_code=status, headers=getattr(error, "headers", None))


async def _not_understood(request: Request, error: Exception) -> Response:
    if _wants_page(request) and request.method == "GET":
        return _problem(404, say(present().language, "web.no_page_more"))
    return JSONResponse({"detail": "The request could not be understood."}, status_code=422)


async def _broken(request: Request, error: Exception) -> Response:
    """A fault of ours. It stands in the log; who met it reads what to do."""
    text = say(present().language, "web.page_broken_more")
    return _problem(500, text) if _wants_page(request) else JSONResponse({"detail": text}, status_code=500)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and not request.headers.get("hx-request")


def _problem(status: int, text: str, title: str = "") -> Response:
    """A page that says what is wrong and leads back."""
    language = present().language
    known = {404: "web.no_page", 500: "web.page_broken"}
    title = title or say(language, known.get(status, "web.not_done"))
    asker = present().asker
    page = _pages.get_template("problem.html").render(
        language=language,
        title=title,
        text=text,
        admin=say(language, "web.to_overview") if asker and asker.is_admin else "",
        chat=say(language, "web.to_chat"),
    )
    return HTMLResponse(page, status_code=status)
