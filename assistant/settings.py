"""Settings: one `assistant.toml` and, for secrets, environment variables. Read once, checked at start."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from assistant.domain import EVERYONE
from assistant.errors import SettingsError

PROJECT = Path(__file__).resolve().parent.parent
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$")]
_WEAK_SECRETS = {"secret", "changeme", "change-me", "password", "default"}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AccessEntry(Section):
    """Documents that match the glob (relative to the source) may be read by these groups; later entries win."""

    match: str = Field(min_length=1)
    groups: list[Name] = Field(min_length=1)


class Source(Section):
    """A folder of documents."""

    name: Name
    path: Path
    groups: list[Name] = Field(default=[EVERYONE], min_length=1)
    include: list[str] = ["**"]
    exclude: list[str] = []
    owner: str = ""
    access: list[AccessEntry] = []


class IndexSettings(Section):
    """How documents become passages. Lengths in words, as the splitter counts them."""

    uri: str = ""
    embedder: str = "minilm"
    embedder_api_base: str = ""
    embedder_api_key_env: str = ""
    embedder_price: Dollars = Field(default=0, description="dollars per million tokens")
    passage_words: int = Field(default=180, ge=40, le=1000)
    overlap_words: int = Field(default=30, ge=0, le=200)
    keep_releases: int = Field(default=5, ge=1, le=100)
    max_file_mb: int = Field(default=50, ge=1, le=2000)


class Deployment(Section):
    """One model at one provider. Prices are dollars per million tokens. The order in the file is the order tried."""

    name: Name
    tier: Literal["small", "strong"]
    model: str = Field(min_length=1, description="LiteLLM's name, e.g. openai/gpt-5-mini")
    api_base: str = ""
    api_key_env: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    price_in: Dollars = 0
    price_out: Dollars = 0
    price_cached: Dollars = 0
    context: int = Field(default=32_000, ge=1_000, le=10_000_000)

    @field_validator("api_base")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("is not an http(s) address; write e.g. https://models.example.com/v1")
        return value


class ModelSettings(Section):
    deployments: list[Deployment] = []
    first_token_s: Seconds = 10
    gap_s: Seconds = 5
    turn_s: Seconds = 60
    answer_tokens: int = Field(default=700, ge=16, le=32_000)
    breaker_s: Seconds = 5

    @model_validator(mode="after")
    def _unique(self) -> ModelSettings:
        names = [d.name for d in self.deployments]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"two deployments are called {twice[0]}; give each its own name")
        return self


class ChatSettings(Section):
    """The turn. `weight_before` is how much the scores of the turn before count in a follow-up."""

    passages: int = Field(default=6, ge=1, le=30)
    window_turns: int = Field(default=6, ge=0, le=50)
    question_chars: int = Field(default=4_000, ge=100, le=100_000)
    weight_before: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.6
    answer_threshold: Fraction | None = None
    weak_threshold: Fraction | None = None
    questions_per_minute: int = Field(default=30, ge=1, le=10_000)
    dollars_per_person_day: Dollars = 5
    language: Literal["en", "de"] = "en"


class OidcSettings(Section):
    issuer: str = ""
    client_id: str = ""
    client_secret_env: str = "ASSISTANT_OIDC_SECRET"
    name: str = "single sign-on"
    groups_claim: str = "groups"


class WebSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: str = ""
    password_login: bool = True
    trusted_header: str = Field(default="", description="header in which a proxy names the person, e.g. X-Remote-User")
    trusted_proxies: list[str] = ["127.0.0.1"]
    oidc: OidcSettings = OidcSettings()
    session_hours: int = Field(default=24 * 7, ge=1, le=24 * 90)

    @property
    def secure(self) -> bool:
        """Whether people reach us over TLS, so that cookies must not travel without it."""
        return self.public_url.startswith("https://")


class TraceSettings(Section):
    """Langfuse. Without keys in the environment nothing is sent; everything stays in the local table."""

    host: str = ""
    public_key_env: str = "LANGFUSE_PUBLIC_KEY"
    secret_key_env: str = "LANGFUSE_SECRET_KEY"
    send_texts: bool = True


class RetentionSettings(Section):
    threads_days: int = Field(default=730, ge=1, le=36_500)
    trace_days: int = Field(default=90, ge=1, le=36_500)


class DatabaseSettings(Section):
    url: str = Field(default="", description="postgresql+asyncpg://…; empty: SQLite in the data folder")
    busy_s: Seconds = 15

    @field_validator("url")
    @classmethod
    def _known(cls, value: str) -> str:
        if value and not value.startswith(("sqlite+aiosqlite://", "postgresql+asyncpg://")):
            raise ValueError("must begin with postgresql+asyncpg:// or sqlite+aiosqlite://, or be left out")
        return value


class DemoPerson(Section):
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    name: str
    title: str = ""
    groups: list[Name] = []


class Settings(Section):
    """Everything an installation may set. Relative paths are relative to the file they stand in."""

    company: str = "our company"
    demo: bool = False
    data: Path = Path("data/local")
    models_dir: Path = Path("data/models")
    prompts_dir: Path = PROJECT / "prompts"
    cases: Path | None = None
    database: DatabaseSettings = DatabaseSettings()
    index: IndexSettings = IndexSettings()
    sources: list[Source] = []
    models: ModelSettings = ModelSettings()
    chat: ChatSettings = ChatSettings()
    web: WebSettings = WebSettings()
    trace: TraceSettings = TraceSettings()
    retention: RetentionSettings = RetentionSettings()
    demo_people: list[DemoPerson] = []
    secret: SecretStr | None = Field(
        default=None, description="signs sessions; from ASSISTANT_SECRET or the data folder"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        names = [s.name for s in self.sources]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"two sources are called {twice[0]}; give each its own name")
        return self

    @property
    def database_url(self) -> str:
        return self.database.url or f"sqlite+aiosqlite:///{self.data / 'assistant.db'}"

    @property
    def index_uri(self) -> str:
        return self.index.uri or str(self.data / "index")

    def environment(self, name: str) -> str:
        """The value of a secret's environment variable, empty when it is not set."""
        return os.environ.get(name, "") if name else ""


def load(config: Path | None = None, data: Path | None = None) -> Settings:
    """Read `assistant.toml` and the environment into checked settings.

    `config` defaults to `ASSISTANT_CONFIG`, then `./assistant.toml`, then the project's own. `data` overrides the
    data folder. Raises `SettingsError` with one line that names the key, its problem and the fix.
    """
    named = config or (Path(os.environ["ASSISTANT_CONFIG"]) if os.environ.get("ASSISTANT_CONFIG") else None)
    if named and not named.is_file():
        raise SettingsError(f"{named}: no such settings file.", "Name an existing assistant.toml.")
    path = named or next((p for p in (Path("assistant.toml"), PROJECT / "assistant.toml") if p.is_file()), None)
    raw: dict[str, Any] = {}
    if path:
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise SettingsError(f"{path}: not readable as TOML: {error}.", "Correct that line.") from error
    if secret := os.environ.get("ASSISTANT_SECRET"):
        raw["secret"] = secret
    if data is not None or os.environ.get("ASSISTANT_DATA"):
        raw["data"] = str((data or Path(os.environ["ASSISTANT_DATA"])).absolute())
    base = path.resolve().parent if path else Path.cwd()
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        raise SettingsError(_one_line(path, error)) from error
    _check_secret(settings)
    return settings.model_copy(
        update={
            "data": base / settings.data,
            "models_dir": base / settings.models_dir,
            "prompts_dir": base / settings.prompts_dir,
            "cases": base / settings.cases if settings.cases else None,
            "sources": [s.model_copy(update={"path": base / s.path}) for s in settings.sources],
        }
    )


def _check_secret(settings: Settings) -> None:
    if settings.secret is None:
        return
    value = settings.secret.get_secret_value()
    if len(value) < 32 or value.lower() in _WEAK_SECRETS or len(set(value)) < 8:
        raise SettingsError(
            "ASSISTANT_SECRET: too short or guessable.",
            "Set at least 32 random characters, or unset it: one is made in the data folder.",
        )


def _one_line(path: Path | None, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "settings"
    problem = re.sub(r"^Value error, ", "", first["msg"])
    if first["type"] == "extra_forbidden":
        problem = "no such setting; remove it or correct its spelling"
    elif first["type"] == "missing":
        problem = "is missing; add it"
    elif not key.endswith("secret"):
        problem += f" (it is {str(first['input'])[:60]!r})"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{path or 'environment'}: {key}: {problem}{more}."
