"""Single sign-on by OpenID Connect, as one of Chainlit's providers; its addresses come from the issuer itself."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
from chainlit.oauth_providers import OAuthProvider
from chainlit.user import User

from assistant.settings import Settings
from assistant.web.signin import admitted, chainlit_user

log = logging.getLogger(__name__)
TIMEOUT_S = 10
RETRY_S = 30


class OidcProvider(OAuthProvider):  # type: ignore[misc]
    """One issuer. Until it has been reached its button is not offered."""

    env: tuple[str, ...] = ()

    def __init__(self, settings: Settings) -> None:
        oidc = settings.web.oidc
        self.id = oidc.name.lower().replace(" ", "-")
        self.client_id = oidc.client_id
        self.client_secret = settings.environment(oidc.client_secret_env)
        self.authorize_params = {"scope": "openid email profile", "response_type": "code"}
        self.authorize_url = ""
        self._issuer = oidc.issuer.rstrip("/")
        self._groups_claim = oidc.groups_claim
        self._token_url = ""
        self._userinfo_url = ""

    def is_configured(self) -> bool:
        return bool(self.client_id and self.client_secret and self.authorize_url)

    async def discover(self) -> None:
        """Ask the issuer for its addresses, again and again until it answers."""
        while not self.authorize_url:
            try:
                async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
                    found = (await client.get(f"{self._issuer}/.well-known/openid-configuration")).raise_for_status()
                    known: dict[str, Any] = found.json()
                if str(known.get("issuer", "")).rstrip("/") != self._issuer:
                    log.error("single sign-on: the issuer calls itself something else; it is not used")
                    return
                self._token_url = known["token_endpoint"]
                self._userinfo_url = known["userinfo_endpoint"]
                self.authorize_url = known["authorization_endpoint"]
            except (httpx.HTTPError, ValueError, KeyError) as error:
                log.warning("single sign-on: the issuer did not answer (%s); trying again", type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def get_raw_token_response(self, code: str, url: str) -> dict[str, Any]:
        payload = {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "code": code,
            "grant_type": "authorization_code",
            "redirect_uri": url,
        }
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            answer = (await client.post(self._token_url, data=payload)).raise_for_status()
            return dict(answer.json())

    async def get_token(self, code: str, url: str) -> str:
        return str((await self.get_raw_token_response(code, url))["access_token"])

    async def get_user_info(self, token: str) -> tuple[dict[str, Any], Any]:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            answer = await client.get(self._userinfo_url, headers={"Authorization": f"Bearer {token}"})
            claims: dict[str, Any] = answer.raise_for_status().json()
        return claims, User(identifier=str(claims.get("email", "")))

    async def account(self, claims: dict[str, Any]) -> Any:
        """The account of the person whom these claims name, or None."""
        if not claims.get("email") or claims.get("email_verified") is False:
            return None
        groups = claims.get(self._groups_claim)
        person = await admitted(
            str(claims["email"]),
            name=str(claims.get("name", "")),
            groups=[str(g) for g in groups] if isinstance(groups, list) else None,
        )
        return chainlit_user(person) if person else None
