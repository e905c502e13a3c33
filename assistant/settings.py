"""Settings: one `assistant.toml` and, for secrets, environment variables. Read once, checked at start."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from assistant.domain import EVERYONE
from assistant.errors import SettingsError

PROJECT = Path(__file__).resolve().parent.parent
# The embedder that needs no key.
BUILT_IN = "minilm"
_WEAK_WORDS = ("changeme", "change-me", "change_me", "password", "default", "secret", "assistant", "12345678")


def _is_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = not value or (parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        good = False
    if not good or any(c.isspace() for c in value):
        raise ValueError("is not an http(s) address; write it like https://models.example.com")
    return value


def _is_network(value: str) -> str:
    try:
        ip_network(value, strict=False)
    except ValueError:
        raise ValueError("is no IP address or network; write it like 10.0.0.5 or 10.0.0.0/8") from None
    return value


def _is_schedule(value: str) -> str:
    # What reads the words later checks them: a schedule of our own reading might differ from it.
    from cronsim import CronSim, CronSimError

    try:
        if value and len(value.split()) == 5:
            next(CronSim(value, datetime(2026, 1, 1, tzinfo=UTC)))
        elif value:
            raise CronSimError("not five words")
    except (CronSimError, StopIteration):
        raise ValueError("is no time in the five words of cron; write it like 0 5 * * 1-5") from None
    return value


def _is_database(value: str) -> str:
    if value and not value.startswith(("sqlite+aiosqlite://", "postgresql+asyncpg://")):
        raise ValueError("must begin with postgresql+asyncpg:// or sqlite+aiosqlite://, or be left out")
    return value


def _is_path(value: Path) -> Path:
    if "\x00" in str(value):
        raise ValueError("holds a NUL character; remove it")
    return value


def _once(what: str, names: list[str]) -> None:
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ValueError(f"two {what} are called {twice[0]}; give each its own name")


Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$")]
Variable = Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")]
Model = Annotated[str, Field(max_length=200, pattern=r"^[a-z0-9_-]+/\S+$")]
Address = Annotated[str, AfterValidator(_is_address)]
Network = Annotated[str, AfterValidator(_is_network)]
Folder = Annotated[Path, AfterValidator(_is_path)]
SourceKind = Literal["folder", "git", "web", "files", "mail", "push"]

# What a person reads of a value that does not fit: by pydantic's name for the fault, the problem and the fix.
_TYPES = {
    "int_type": "must be a whole number, without quotes or point",
    "float_type": "must be a number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "string_type": "must be text in quotes",
    "list_type": "must be a list, written in [ ]",
    "model_type": "must be a section of its own",
    "model_attributes_type": "must be a section of its own",
    "json_invalid": "is nested too deeply; write it flat",
    "finite_number": "must be a finite number; write one",
    "greater_than": "must be more than {gt:g}; raise it",
    "greater_than_equal": "must be at least {ge:g}; raise it",
    "less_than_equal": "must be at most {le:g}; lower it",
    "literal_error": "must be one of {expected}",
    "string_too_short": "must not be empty; fill it in",
    "string_too_long": "must have at most {max_length} characters; shorten it",
    "too_short": "must name at least one; add it",
    "missing": "is missing; add it",
}
_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$": "must be made of letters, digits, blanks and . _ @ -, a letter or digit first",
    r"^([A-Za-z_][A-Za-z0-9_]*)?$": "must be the name of an environment variable, e.g. OPENAI_API_KEY, not its value",
    r"^[a-z0-9_-]+/\S+$": "must be a provider, a slash and its model, e.g. openai/gpt-5.1",
    r"^([a-z0-9_-]+/\S+)?$": "must be a provider, a slash and its model, e.g. cohere/rerank-v3.5",
    r"^(minilm|[a-z0-9_-]+/\S+)$": "must be minilm, or a provider, a slash and its model",
    r"^[A-Za-z0-9.:_-]+$": "must be a host name or IP address, e.g. 127.0.0.1",
    r"^[A-Za-z0-9-]*$": "must be the name of a header, e.g. X-Remote-User",
    r"^[^@\s]+@[^@\s]+$": "must be an e-mail address",
    r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$": "must be the name of a branch, a tag or a commit",
}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AccessEntry(Section):
    """Documents that match the glob (relative to the source) may be read by these groups; later entries win."""

    match: str = Field(min_length=1, description="which files, as a glob relative to the source, e.g. finance/**")
    groups: list[Name] = Field(min_length=1, description="the groups that may read them")


class Source(Section):
    """Where documents come from. Several may stand in the file, each under `[[sources]]`."""

    name: Name = Field(description="what the source is called; unique")
    kind: SourceKind = Field(
        default="folder",
        description="a folder; a git repository; a web site; files in an object store or share; a mail folder; or "
        "what programs push over the API",
    )
    path: Folder = Field(default=Path(), description="folder: the folder; mail: an mbox file, or a folder of eml files")
    url: str = Field(
        default="",
        max_length=2000,
        description="git: what `git fetch` takes; web: the first page, or a sitemap that ends in .xml; "
        "files: an address of fsspec, e.g. s3://bucket/folder",
    )
    ref: str = Field(
        default="HEAD",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$",
        max_length=200,
        description="git: the branch, tag or commit to read",
    )
    link: str = Field(
        default="",
        max_length=500,
        description="where people find a document, with {path} and for git {ref} in it; web pages have their own",
    )
    secret_env: Variable = Field(
        default="",
        description="environment variable; git: a token for https; files: a JSON object of fsspec's options, "
        "for S3 of pyarrow's: access_key, secret_key, region, endpoint_override, scheme; for Google the key file of a "
        "service account as it is, or token: a bearer token",
    )
    groups: list[Name] = Field(
        default=[EVERYONE], min_length=1, description="who may read what no entry of `access` matches"
    )
    include: list[str] = Field(default=["**"], description="globs of the files to index")
    exclude: list[str] = Field(default=[], description="globs of the files to leave out")
    owner: str = Field(default="", description="whom to ask about these documents, named when they hold no answer")
    access: list[AccessEntry] = Field(default=[], description="who may read which files; later entries win")
    schedule: Annotated[str, AfterValidator(_is_schedule)] = Field(
        default="",
        description='when it is indexed by itself, in the five words of cron and UTC, e.g. "0 5 * * *"; empty: never',
    )
    max_pages: int = Field(default=1000, ge=1, le=100_000, description="web: how many pages are read at most")
    delay_s: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = Field(
        default=0.5, description="web: seconds between two requests; what robots.txt asks for wins where it is longer"
    )
    allow_private: bool = Field(
        default=False, description="web: whether the site may be at an address of the internal network"
    )

    @model_validator(mode="after")
    def _whole(self) -> Source:
        if self.kind in {"folder", "mail"} and "path" not in self.model_fields_set:
            raise ValueError("path is missing; add it")
        if self.kind == "web" and (not _is_address(self.url) or "@" in urlsplit(self.url).netloc):
            raise ValueError(
                "url must be an http(s) address without a name or password in it, e.g. https://wiki.example"
            )
        if self.kind == "git" and (not self.url or self.url.startswith("-") or "::" in self.url):
            raise ValueError("url must be what git fetch takes, e.g. https://git.example/handbook.git; correct it")
        if self.kind == "files" and not re.match(r"[a-z0-9+]+://", self.url):
            raise ValueError("url must be an address of fsspec, e.g. s3://bucket/folder; correct it")
        if self.link and "{path}" not in self.link:
            raise ValueError("link must hold {path}; add it")
        if self.link and not re.match("https?://", self.link):
            raise ValueError("link must be an http(s) address; correct it")
        return self

    @property
    def secret(self) -> str:
        """The value of the source's secret, empty when there is none."""
        return os.environ.get(self.secret_env, "") if self.secret_env else ""


class GateSettings(Section):
    """What a new release is held to before people are answered from it."""

    enabled: bool = Field(
        default=True, description="whether the cases are searched in a new release and in the active one"
    )
    max_drop: Fraction = Field(
        default=0.02, description="how much hit@1, hit@5 or MRR may fall before the release waits for an admin"
    )
    max_removed: Fraction = Field(
        default=0.5, description="share of a source's documents that may leave at once, where more than 20 do"
    )


class IndexSettings(Section):
    """How documents become passages."""

    uri: str = Field(default="", description="where the index is: a folder or object storage; empty: the data folder")
    embedder: str = Field(
        default=BUILT_IN,
        max_length=200,
        pattern=r"^(minilm|[a-z0-9_-]+/\S+)$",
        description="what makes the vectors: the built-in minilm, or any LiteLLM embedding model",
    )
    embedder_api_base: Address = Field(
        default="", description="address of that model, when it is not the provider's own"
    )
    embedder_api_key_env: Variable = Field(default="", description="environment variable with the key for it")
    embedder_price: Dollars = Field(default=0, description="dollars per million tokens")
    word_codes: Literal["table", "model"] = Field(
        default="table",
        description="beside another embedder, how passages are compared word by word: by the built-in model's table of "
        "words, or, slower and better, by a pass of it over every passage",
    )
    passage_words: int = Field(default=180, ge=40, le=1000, description="words a passage has at most, about")
    overlap_words: int = Field(default=30, ge=0, le=200, description="words it shares with the passage before")
    keep_releases: int = Field(default=5, ge=1, le=100, description="how many past releases are kept for a way back")
    max_file_mb: int = Field(default=50, ge=1, le=2000, description="megabytes; a larger file is listed, not read")
    gate: GateSettings = Field(default=GateSettings(), description="what a new release is held to")

    @model_validator(mode="after")
    def _consistent(self) -> IndexSettings:
        if self.overlap_words >= self.passage_words:
            raise ValueError(
                f"overlap_words ({self.overlap_words}) must be less than passage_words ({self.passage_words}); lower it"
            )
        return self


class Deployment(Section):
    """One model at one provider. The first of a tier is asked first, the next ones when it fails."""

    name: Name = Field(description="what it is called in receipts and bills; unique")
    tier: Literal["small", "strong"] = Field(description="strong answers; small rewrites and does other small jobs")
    model: Model = Field(description="LiteLLM's name, e.g. openai/gpt-5.1")
    api_base: Address = Field(default="", description="address, when it is not the provider's own")
    api_key_env: Variable = Field(default="", description="environment variable with the key")
    price_in: Dollars = Field(default=0, description="dollars per million tokens sent")
    price_out: Dollars = Field(default=0, description="dollars per million tokens received")
    price_cached: Dollars = Field(default=0, description="dollars per million tokens sent that were in its cache")
    context: int = Field(default=32_000, ge=1_000, le=10_000_000, description="tokens it takes in at most")
    tools: bool = Field(default=False, description="whether it can call tools; then it chooses what to look up")


class ModelSettings(Section):
    """The language models and how long they may take. Without any, passages are quoted."""

    deployments: list[Deployment] = Field(default=[], description="the models, each under `[[models.deployments]]`")
    first_token_s: Seconds = Field(default=10, description="seconds to wait for the first word before asking the next")
    gap_s: Seconds = Field(default=5, description="seconds of silence after which an answer counts as broken off")
    turn_s: Seconds = Field(default=60, description="seconds an answer may take in all")
    answer_tokens: int = Field(default=700, ge=16, le=32_000, description="tokens an answer has at most")
    breaker_s: Seconds = Field(default=5, description="seconds in which a model that failed is not asked again")

    @model_validator(mode="after")
    def _unique(self) -> ModelSettings:
        _once("deployments", [d.name for d in self.deployments])
        return self


class StepSettings(Section):
    """Steps of a turn that can be left out."""

    small_talk: bool = Field(
        default=True, description="greetings, thanks and questions about the assistant are answered without a search"
    )
    spelling: bool = Field(
        default=True,
        description="a misspelt word that no document has is read as the nearest one, and the answer says so",
    )
    glossary: bool = Field(
        default=True, description="a word of the glossary is searched by what it means, too, and the answer says so"
    )
    newest_first: bool = Field(
        default=True, description="of passages that say the same the newer goes first, what is no longer valid last"
    )
    join: bool = Field(
        default=True, description="passages next to each other that both fit the question are read as one"
    )
    filters: bool = Field(
        default=True, description="“in the finance handbook” or “since March” restrict the search to such documents"
    )
    clarify: bool = Field(
        default=True, description="a question that may mean several things gets one short question back, with choices"
    )
    decompose: bool = Field(
        default=True, description="a question that asks two things, or compares two, is searched for each of them"
    )
    decompose_by_model: bool = Field(
        default=True,
        description="what no rule splits a model of the strong tier does, where one is configured and the question may "
        "need several documents",
    )
    contradictions: bool = Field(
        default=True, description="under an answer is said where its passages contradict others, and which one is newer"
    )


Budget = Annotated[int, Field(ge=1, le=3_600_000)]


class StepBudgets(Section):
    """How long each step of an answer should take at most, 95 times in a hundred; shown beside what it took."""

    open: Budget = Field(default=60, description="milliseconds to keep the question")
    guard: Budget = Field(default=10, description="milliseconds to check the question")
    spelling: Budget = Field(default=10, description="milliseconds to read misspelt words as those of the documents")
    glossary: Budget = Field(default=5, description="milliseconds to find the company's own words in the question")
    recall: Budget = Field(default=60, description="milliseconds to read the talk so far")
    tools: Budget = Field(default=3_000, description="milliseconds to look something up")
    rewrite: Budget = Field(default=1_500, description="milliseconds to make a follow-up stand alone")
    cache: Budget = Field(default=30, description="milliseconds to find an answer given before")
    decompose: Budget = Field(default=3_000, description="milliseconds to split a question by a model")
    retrieve: Budget = Field(default=250, description="milliseconds to search the documents")
    decide: Budget = Field(default=10, description="milliseconds to decide whether they answer")
    route: Budget = Field(default=20, description="milliseconds to choose the model")
    generate: Budget = Field(default=15_000, description="milliseconds to write the answer")
    verify: Budget = Field(default=400, description="milliseconds to check the answer")
    first_word: Budget = Field(default=2_000, description="milliseconds from the question to the first word")
    answer: Budget = Field(default=20_000, description="milliseconds from the question to the checked answer")


class RerankerSettings(Section):
    """A cross-encoder that puts the best passages in order. Without `model` and `path` there is none."""

    model: Annotated[str, Field(max_length=200, pattern=r"^([a-z0-9_-]+/\S+)?$")] = Field(
        default="", description="LiteLLM's name of a reranking model, e.g. cohere/rerank-v3.5"
    )
    path: Folder = Field(default=Path(), description="or a folder with model.onnx and tokenizer.json")
    api_base: Address = Field(default="", description="address of the model, when it is not the provider's own")
    api_key_env: Variable = Field(default="", description="environment variable with the key for it")
    price: Dollars = Field(default=0, description="dollars per thousand calls")
    candidates: int = Field(default=30, ge=2, le=200, description="how many of the best passages it reads")
    timeout_s: Seconds = Field(default=2, description="seconds it may take; after that the search's own order stands")

    @model_validator(mode="after")
    def _one(self) -> RerankerSettings:
        if self.model and self.path != Path():
            raise ValueError("model and path are both given; keep one of them")
        return self


class ChatSettings(Section):
    """A question and its answer."""

    passages: int = Field(default=8, ge=1, le=30, description="how many passages an answer rests on")
    window_turns: int = Field(default=6, ge=0, le=50, description="how many earlier turns a question is read with")
    question_chars: int = Field(default=4_000, ge=100, le=100_000, description="characters a question has at most")
    join_tokens: int = Field(
        default=1_000,
        ge=100,
        le=20_000,
        description="tokens that a passage may have at most when its neighbours are joined to it; see `steps.join`",
    )
    weight_before: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = Field(
        default=0.3,
        description="how much the turn before, question and answer, counts in the search where one leans on it",
    )
    answer_threshold: Fraction | None = Field(
        default=None, description="evidence from which a question is answered, 0 to 1; left out: the measured value"
    )
    weak_threshold: Fraction | None = Field(
        default=None, description="evidence below which it is declined, 0 to 1; left out: the measured value"
    )
    cache_minutes: float = Field(
        default=60,
        ge=0,
        le=10_080,
        allow_inf_nan=False,
        description="minutes that an answer may be given again to the same question with the same rights; 0: never",
    )
    questions_per_minute: int = Field(default=30, ge=1, le=10_000, description="how many a person may ask in a minute")
    dollars_per_person_day: Dollars = Field(
        default=5, description="dollars a person's questions may cost in a day; after that passages are quoted"
    )
    tools: bool = Field(
        default=True,
        description="whether owners, whole documents, comparisons and changes are looked up when asked for",
    )
    judge: bool = Field(
        default=False,
        description="whether a small model decides where rules leave it open: weak evidence, doubtful statements",
    )
    unsupported: Literal["mark", "strike", "off"] = Field(
        default="mark", description="how a statement that its source does not carry is shown: underlined, struck, as is"
    )
    budgets: StepBudgets = StepBudgets()
    language: Literal["en", "de"] = Field(default="en", description="the language where the browser names none of ours")
    reranker: RerankerSettings = Field(default=RerankerSettings(), description="a cross-encoder, where there is one")
    steps: StepSettings = Field(default=StepSettings(), description="steps of a turn that can be left out")

    @model_validator(mode="after")
    def _consistent(self) -> ChatSettings:
        low, high = self.weak_threshold, self.answer_threshold
        if low is not None and high is not None and low > high:
            raise ValueError(f"weak_threshold ({low:g}) must not be above answer_threshold ({high:g}); lower it")
        return self


class Policy(Section):
    """What may not be asked, and by whom. Several may stand in the file, each under `[[policies]]`."""

    topics: list[Annotated[str, Field(min_length=2, max_length=200)]] = Field(
        min_length=1, description="words or phrases; a question that holds one, in any form of its words, is refused"
    )
    groups: list[Name] = Field(default=[EVERYONE], min_length=1, description="the groups that it binds")
    except_groups: list[Name] = Field(default=[], description="the groups among them that may ask all the same")
    sentence: str = Field(
        default="", max_length=500, description="what the person reads instead of an answer; empty: a sentence of ours"
    )


class OidcSettings(Section):
    """Single sign-on by OpenID Connect."""

    issuer: Address = Field(default="", description="address of the identity provider; empty: no single sign-on")
    client_id: str = Field(default="", description="how the provider knows us")
    client_secret_env: Variable = Field(
        default="ASSISTANT_OIDC_SECRET", description="environment variable of its secret"
    )
    name: str = Field(default="single sign-on", min_length=1, max_length=80, description="what the button says")
    groups_claim: str = Field(default="groups", description="the claim that lists a person's groups")

    @model_validator(mode="after")
    def _whole(self) -> OidcSettings:
        if self.issuer and not self.client_id:
            raise ValueError("client_id is missing beside issuer; add the one the provider gave")
        return self


class WebSettings(Section):
    """Where it is served and how people sign in."""

    host: str = Field(
        default="127.0.0.1", pattern=r"^[A-Za-z0-9.:_-]+$", description="address to listen on; 0.0.0.0 for all"
    )
    port: int = Field(default=8000, ge=1, le=65535, description="port to listen on")
    public_url: Address = Field(
        default="", description="the address people type, when a proxy stands before us; https makes cookies secure"
    )
    password_login: bool = Field(default=True, description="whether people may sign in with a password")
    trusted_header: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9-]*$",
        description="header in which a proxy names the person, e.g. X-Remote-User; empty: none is believed",
    )
    trusted_proxies: list[Network] = Field(
        default=["127.0.0.1"], description="the proxies whose headers are believed, as addresses or networks"
    )
    oidc: OidcSettings = Field(default=OidcSettings(), description="single sign-on")
    metrics_key_env: Variable = Field(
        default="", description="environment variable with the key for /metrics; empty: it is for this machine alone"
    )
    key_questions_per_minute: int = Field(
        default=20,
        ge=0,
        le=10_000,
        description="questions a program may ask with one key in a minute; 0: none",
    )
    session_hours: int = Field(default=24 * 7, ge=1, le=24 * 90, description="hours after which people sign in again")

    @model_validator(mode="after")
    def _a_way_in(self) -> WebSettings:
        if not (self.password_login or self.trusted_header or self.oidc.issuer):
            raise ValueError("nobody could sign in; allow password_login, or set oidc.issuer or trusted_header")
        return self

    @property
    def secure(self) -> bool:
        """Whether people reach us over TLS, so that cookies must not travel without it."""
        return self.public_url.startswith("https://")


class TraceSettings(Section):
    """Langfuse. Without keys in the environment nothing is sent; everything stays in the local table."""

    host: Address = Field(default="", description="address of the Langfuse server")
    public_key_env: Variable = Field(
        default="LANGFUSE_PUBLIC_KEY", description="environment variable of the public key"
    )
    secret_key_env: Variable = Field(
        default="LANGFUSE_SECRET_KEY", description="environment variable of the secret key"
    )
    send_texts: bool = Field(default=True, description="whether questions and answers are sent, or only their lengths")


class RetentionSettings(Section):
    """How long things are kept."""

    threads_days: int = Field(
        default=730, ge=1, le=36_500, description="days a conversation is kept after its last turn"
    )
    trace_days: int = Field(default=90, ge=1, le=36_500, description="days that traces are kept here")


class DatabaseSettings(Section):
    """The SQL database."""

    url: Annotated[str, AfterValidator(_is_database)] = Field(
        default="", description="postgresql+asyncpg://…; empty: SQLite in the data folder"
    )
    busy_s: Seconds = Field(default=15, description="seconds to wait for another writer of SQLite")


class AlertSettings(Section):
    """Who is told when an indexing run fails or a release is held. Without any, nobody is."""

    webhook_env: Variable = Field(
        default="", description="environment variable with an address that gets each alert as JSON"
    )
    email: list[Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]] = Field(
        default=[], description="who gets it by e-mail"
    )
    smtp_env: Variable = Field(
        default="ASSISTANT_SMTP",
        description="environment variable with the mail server, smtp://name:password@host:587 or smtps://…",
    )
    sender: str = Field(
        default="assistant@localhost",
        max_length=254,
        pattern=r"^[^@\s]+@[^@\s]+$",
        description="whom the e-mail comes from",
    )


class DemoPerson(Section):
    """Somebody of the demo, made at the first start with a printed password."""

    email: str = Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", description="signs in with it")
    name: str = Field(description="as others see it")
    title: str = Field(default="", description="what the person does")
    groups: list[Name] = Field(default=[], description="groups besides everyone; admins sees the admin pages")


class Settings(Section):
    """Everything an installation may set. Relative paths are relative to the file they stand in."""

    company: str = Field(default="our company", min_length=1, max_length=80, description="the company's name")
    demo: bool = Field(default=False, description="whether the demo's people are made at the first start")
    data: Folder = Field(default=Path("data/local"), description="folder of index, database and session secret")
    models_dir: Folder = Field(default=Path("data/models"), description="folder for the built-in embedding model")
    prompts_dir: Folder = Field(default=PROJECT / "prompts", description="folder of the prompts")
    cases: Folder | None = Field(default=None, description="case file that evaluation and gate run")
    database: DatabaseSettings = Field(default=DatabaseSettings(), description="the SQL database")
    index: IndexSettings = Field(default=IndexSettings(), description="how documents become passages")
    sources: list[Source] = Field(default=[], description="where documents come from, each under `[[sources]]`")
    models: ModelSettings = Field(default=ModelSettings(), description="the language models")
    chat: ChatSettings = Field(default=ChatSettings(), description="a question and its answer")
    policies: list[Policy] = Field(default=[], description="what may not be asked, each under `[[policies]]`")
    web: WebSettings = Field(default=WebSettings(), description="serving and signing in")
    trace: TraceSettings = Field(default=TraceSettings(), description="Langfuse")
    retention: RetentionSettings = Field(default=RetentionSettings(), description="how long things are kept")
    alerts: AlertSettings = Field(default=AlertSettings(), description="who is told when a run fails")
    demo_people: list[DemoPerson] = Field(default=[], description="the demo's people, each under `[[demo_people]]`")
    secret: SecretStr | None = Field(
        default=None,
        description="signs sessions; only from ASSISTANT_SECRET, never in the file; unset: made in the data folder",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        _once("sources", [s.name for s in self.sources])
        _once("demo_people", [p.email.lower() for p in self.demo_people])
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
    raw = _read(path) if path else {}
    if "secret" in raw:
        raise SettingsError(f"{path}: secret: does not belong in a file.", "Set ASSISTANT_SECRET instead.")
    if secret := os.environ.get("ASSISTANT_SECRET"):
        raw["secret"] = secret
    if data is not None or os.environ.get("ASSISTANT_DATA"):
        raw["data"] = str((data or Path(os.environ["ASSISTANT_DATA"])).absolute())
    base = path.resolve().parent if path else Path.cwd()
    try:
        # As JSON, because pydantic's strict mode then still takes a text for a path: "8000" and true are no numbers.
        settings = Settings.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        raise SettingsError(_one_line(path, error)) from error
    _check_secret(settings)
    return _from_here(settings, base)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise SettingsError(f"{path}: is nested too deeply.", "Write it flat.") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.", "Let assistant read that file.") from error
    except ValueError as error:  # tomllib's errors, broken UTF-8 and endless numbers are ValueErrors
        raise SettingsError(f"{path}: not readable as TOML: {error}.", "Correct that line.") from error


def _from_here(settings: Settings, base: Path) -> Settings:
    """The same, with every relative path under the folder of the file it stands in."""

    def under(path: Path | str) -> Path:
        return base / os.path.expanduser(path)

    uri = settings.index.uri
    return settings.model_copy(
        update={
            "data": under(settings.data),
            "models_dir": under(settings.models_dir),
            "prompts_dir": under(settings.prompts_dir),
            "cases": under(settings.cases) if settings.cases else None,
            "sources": [
                s.model_copy(update={"path": under(s.path)} if s.kind in {"folder", "mail"} else {})
                for s in settings.sources
            ],
            "index": settings.index.model_copy(update={"uri": str(under(uri)) if uri and "://" not in uri else uri}),
        }
    )


def _check_secret(settings: Settings) -> None:
    if settings.secret is None:
        return
    value = settings.secret.get_secret_value()
    rest = value.lower()
    for word in _WEAK_WORDS:
        rest = rest.replace(word, "")
    if len(value) < 32 or len(rest) < 24 or len(set(value)) < 8:
        raise SettingsError(
            "ASSISTANT_SECRET: too short or guessable.",
            "Set at least 32 random characters, or unset it: one is made in the data folder.",
        )


def _one_line(path: Path | None, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    names = [str(part) for part in first["loc"] if not isinstance(part, int)]
    entries = [str(part + 1) for part in first["loc"] if isinstance(part, int)]
    key = ".".join(names) or "settings"
    where = f" (entry {' of '.join(reversed(entries))})" if entries else ""
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    said = f"{path or 'environment'}: {key}{where}: {_problem(names, first)}{more}"
    return said if said.endswith("?") else f"{said}."


def _problem(names: list[str], fault: Any) -> str:
    """What is wrong with a value and what to do, without showing what may be secret."""
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(names[-1], _keys(names[:-1]), 1)
        return f"no such setting; {f'did you mean {near[0]}?' if near else 'remove it or correct its spelling'}"
    if kind == "string_pattern_mismatch":
        problem = _PATTERNS[context["pattern"]]
    elif kind in _TYPES:
        problem = _TYPES[kind].format(**context)
    else:
        problem = re.sub(r"^Value error, ", "", fault["msg"])
    secret = names[-1:] == ["secret"] or "".join(names[-1:]).endswith("_env") or re.search("://.*@", str(value))
    return problem if secret or kind == "missing" or isinstance(value, dict) else f"{problem} (it is {_shown(value)})"


def _keys(names: list[str]) -> list[str]:
    """The settings that a section has."""
    section: Any = Settings
    for name in names:
        found = section.model_fields[name].annotation
        section = get_args(found)[0] if get_args(found) else found
    return list(section.model_fields)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"
