"""A wrong setting stops the start in one line that names the key, its problem and what to do."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from assistant.errors import SettingsError
from assistant.settings import PROJECT, Settings, load

DEPLOYMENT = '[[models.deployments]]\nname = "main"\ntier = "strong"\nmodel = "openai/gpt-5.1"\n'
SOURCE = '[[sources]]\nname = "share"\npath = "documents"\n'
STRONG = "0f3a9c1e7b5d2846a1c3e5f708192a3b"

# The file, and what its one line must name: the key and the fix.
BAD = {
    "unknown key": ("companny = 'x'", "companny: no such setting; did you mean company?"),
    "unknown key in a section": ("[chat]\npasages = 3", "chat.pasages: no such setting; did you mean passages?"),
    "unknown key two sections down": ("[web.oidc]\nisuer = ''", "isuer: no such setting; did you mean issuer?"),
    "unknown key in a list": (SOURCE + "folder = 'x'", "sources.folder (entry 1): no such setting; remove it"),
    "unknown section with keys": ("[prt]\nx = 1", "prt: no such setting; remove it"),
    "unknown section": ("[sauces]\nx = 1", "sauces: no such setting; did you mean sources?"),
    "key pasted into the file": (DEPLOYMENT + "api_key = 'sk-canary-value'", "models.deployments.api_key (entry 1)"),
    "text for a number": ("[web]\nport = '8000'", "web.port: must be a whole number, without quotes"),
    "truth for a number": ("[chat]\npassages = true", "chat.passages: must be a whole number"),
    "fraction for a whole number": ("[chat]\npassages = 2.5", "chat.passages: must be a whole number"),
    "number for text": ("company = 5", "company: must be text in quotes (it is 5)"),
    "text for truth": ("demo = 'yes'", "demo: must be true or false, without quotes"),
    "number for truth": ("[web]\npassword_login = 1", "web.password_login: must be true or false"),
    "text for a list": (SOURCE + "groups = 'everyone'", "sources.groups (entry 1): must be a list, written in [ ]"),
    "number for a path": ("data = 7", "data: must be text in quotes"),
    "value for a section": ("chat = 5", "chat: must be a section"),
    "section for a list": ("[sources]\nname = 'a'", "sources: must be a list"),
    "date for a number": ("[web]\nport = 2026-01-01", "web.port: must be a whole number"),
    "negative": ("[chat]\npassages = -1", "chat.passages: must be at least 1; raise it (it is -1)"),
    "zero port": ("[web]\nport = 0", "web.port: must be at least 1"),
    "huge port": ("[web]\nport = 70000", "web.port: must be at most 65535; lower it"),
    "huge number": ("[index]\nkeep_releases = " + "9" * 400, "index.keep_releases: "),
    "endless number": ("[index]\nkeep_releases = " + "9" * 5000, "not readable as TOML"),
    "negative seconds": ("[models]\ngap_s = -0.5", "models.gap_s: must be more than 0; raise it"),
    "no seconds": ("[models]\nfirst_token_s = 0", "models.first_token_s: must be more than 0"),
    "too many seconds": ("[models]\nturn_s = 1e9", "models.turn_s: must be at most 3600"),
    "not a number": ("[chat]\nanswer_threshold = nan", "chat.answer_threshold: must be a finite number"),
    "infinite": ("[chat]\ndollars_per_person_day = inf", "chat.dollars_per_person_day: must be "),
    "infinite seconds": ("[database]\nbusy_s = inf", "database.busy_s: must be "),
    "overflowing": ("[chat]\nweight_before = 1e999", "chat.weight_before: must be "),
    "above one": ("[chat]\nweak_threshold = 1.5", "chat.weak_threshold: must be at most 1"),
    "negative price": (DEPLOYMENT + "price_in = -1", "models.deployments.price_in (entry 1): must be at least 0"),
    "bad choice": ("[chat]\nlanguage = 'fr'", "chat.language: must be one of 'en' or 'de' (it is \"fr\")"),
    "bad tier": (DEPLOYMENT.replace("strong", "huge"), "models.deployments.tier (entry 1): must be one of 'small' or"),
    "missing key": ("[[sources]]\nname = 'a'", "sources (entry 1): path is missing; add it"),
    "a site with a password": (
        "[[sources]]\nname = 'a'\nkind = 'web'\nurl = 'https://me:hunter2@wiki.example/'",
        "sources (entry 1): url must be an http(s) address without a name or password in it",
    ),
    "a site that is none": ("[[sources]]\nname = 'a'\nkind = 'web'\nurl = 'wiki'", "(entry 1): is not an http(s)"),
    "no repository": ("[[sources]]\nname = 'a'\nkind = 'git'", "(entry 1): url must be what git fetch takes"),
    "a store that is none": ("[[sources]]\nname = 'a'\nkind = 'files'\nurl = 'x'", "(entry 1): url must be an address"),
    "a ref that is an option": (SOURCE + "ref = '--all'", "sources.ref (entry 1): must be the name of a branch"),
    "a link without a place": (SOURCE + "link = 'https://x.example/'", "(entry 1): link must hold {path}; add it"),
    "a link that runs": (SOURCE + "link = 'javascript:{path}'", "(entry 1): link must be an http(s) address"),
    "odd kind": (SOURCE + "kind = 'ftp'", "sources.kind (entry 1): must be one of 'folder', 'git', 'web'"),
    "odd schedule": (SOURCE + "schedule = 'daily'", "sources.schedule (entry 1): is no time in the five words of cron"),
    "no address for alerts": ("[alerts]\nemail = ['ada']", "alerts.email (entry 1): must be an e-mail address"),
    "a secret in the file": ("[alerts]\nwebhook_env = 'https://x.example/T0K3N'", "alerts.webhook_env: must be the"),
    "missing in the second": (DEPLOYMENT + "[[models.deployments]]\nname = 'b'", "(entry 2): is missing; add it (and"),
    "empty name": (SOURCE.replace("share", ""), "sources.name (entry 1): must not be empty; fill it in"),
    "odd name": (SOURCE.replace("share", "../x"), "sources.name (entry 1): must be made of letters"),
    "no group": (SOURCE + "groups = []", "sources.groups (entry 1): must name at least one; add it"),
    "empty match": (SOURCE + "[[sources.access]]\nmatch = ''\ngroups = ['a']", "access.match (entry 1 of 1): must not"),
    "two sources of one name": (SOURCE + SOURCE, "two sources are called share; give each its own name"),
    "two models of one name": (DEPLOYMENT + DEPLOYMENT, "models: two deployments are called main; give each"),
    "two people of one address": (
        "[[demo_people]]\nemail = 'a@b.c'\nname = 'A'\n[[demo_people]]\nemail = 'A@b.c'\nname = 'B'",
        "two demo_people are called a@b.c; give each",
    ),
    "no address": ("[[demo_people]]\nemail = 'ada'\nname = 'A'", "email (entry 1): must be an e-mail address"),
    "model without provider": (DEPLOYMENT.replace("openai/", ""), "model (entry 1): must be a provider, a slash"),
    "unknown embedder": ("[index]\nembedder = 'bert'", "index.embedder: must be minilm, or a provider"),
    "bad address": (DEPLOYMENT + "api_base = 'localhost:11434'", "(entry 1): is not an http(s) address; write"),
    "address of a file": ("[trace]\nhost = 'file:///etc/passwd'", "trace.host: is not an http(s) address"),
    "address without a host": ("[web]\npublic_url = 'https://'", "web.public_url: is not an http(s) address"),
    "address with a bad port": ("[web]\npublic_url = 'https://a:99999'", "web.public_url: is not an http(s) address"),
    "address with a broken host": ("[web.oidc]\nissuer = 'https://[::1'", "web.oidc.issuer: is not an http(s) address"),
    "other database": ("[database]\nurl = 'mysql://u:canary-value@h/d'", "database.url: must begin with postgresql+"),
    "key in place of its variable": (DEPLOYMENT + "api_key_env = 'sk-canary-value'", "the name of an environment"),
    "no proxy": ("[web]\ntrusted_proxies = ['10.0.0.0/99']", "trusted_proxies (entry 1): is no IP address or network"),
    "no header": ("[web]\ntrusted_header = 'X User'", "web.trusted_header: must be the name of a header"),
    "no host": ("[web]\nhost = 'http://0.0.0.0'", "web.host: must be a host name or IP address"),
    "nobody can sign in": ("[web]\npassword_login = false", "web: nobody could sign in; allow password_login, or"),
    "half a sign-on": ("[web.oidc]\nissuer = 'https://id.example'", "web.oidc: client_id is missing beside issuer"),
    "endless overlap": ("[index]\npassage_words = 50\noverlap_words = 60", "index: overlap_words (60) must be"),
    "thresholds crossed": ("[chat]\nanswer_threshold = 0.2\nweak_threshold = 0.4", "(0.4) must not be above answer"),
    "secret in the file": (f"secret = '{STRONG}'", "secret: does not belong in a file. Set ASSISTANT_SECRET"),
    "NUL in a path": ('data = "a\\u0000b"', "data: holds a NUL character; remove it"),
    "no company": ("company = ''", "company: must not be empty"),
    "endless company": (f"company = '{'x' * 10_000}'", "company: must have at most 80 characters; shorten it"),
    "no TOML": ("company = ", "not readable as TOML: Invalid value (at"),
    "key twice": ("demo = true\ndemo = false", "not readable as TOML: Cannot overwrite a value (at"),
    "YAML": ("company: Larkfeld\n", "not readable as TOML"),
    "nested without end": ("company = " + "[" * 5_000, "is nested too deeply. Write it flat."),
    "nested deeply": ("company = " + "[" * 400 + "]" * 400, "is nested too deeply"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ASSISTANT_CONFIG", "ASSISTANT_DATA", "ASSISTANT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "assistant.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_there_are_at_least_forty_ways_to_be_wrong() -> None:
    assert len(BAD) >= 40


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
def test_a_wrong_setting_is_told_in_one_line_with_its_key_and_the_fix(tmp_path: Path, text: str, told: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(file)
    line = str(caught.value)
    assert told in line
    assert line.startswith(str(file))
    assert line.isprintable()
    assert "?." not in line
    assert not line.endswith("..")
    assert len(line) < 400
    assert "canary-value" not in line


@pytest.mark.parametrize("bad", [b"company = '\xff\xfe'", b"\x00" * 100, "company = 'ü'".encode("utf-16")])
def test_a_file_that_is_no_text_is_told_in_one_line(tmp_path: Path, bad: bytes) -> None:
    with pytest.raises(SettingsError, match="not readable as TOML") as caught:
        load(written(tmp_path, bad))
    assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_not_called_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    file = written(tmp_path, "")
    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert str(caught.value) == f"{file}: cannot be read: Permission denied. Let assistant read that file."


@pytest.mark.parametrize("name", ["nowhere.toml", ".", "assistant.toml/below"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "")
    with pytest.raises(SettingsError, match="no such settings file"):
        load(tmp_path / name)
    monkeypatch.setenv("ASSISTANT_CONFIG", str(tmp_path / name))
    with pytest.raises(SettingsError, match="no such settings file"):
        load()


@pytest.mark.parametrize(
    "secret",
    ["secret", "changeme", "x" * 64, "short-4f9a1", "password" * 8, "changeme-changeme-changeme-changeme", "abc" * 20],
)
def test_a_weak_secret_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("ASSISTANT_SECRET", secret)
    with pytest.raises(SettingsError, match="ASSISTANT_SECRET: too short or guessable") as caught:
        load(written(tmp_path, ""))
    assert "32 random characters" in caught.value.action
    assert f" {secret}" not in str(caught.value)


def test_a_strong_secret_is_taken_from_the_environment_and_never_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSISTANT_SECRET", STRONG)
    settings = load(written(tmp_path, ""))
    assert settings.secret == SecretStr(STRONG)
    assert STRONG not in repr(settings)
    assert STRONG not in settings.model_dump_json()


# What an operator's script sees

COMMAND = Path(sys.executable).with_name("assistant")


@pytest.fixture(scope="module")
def work_of_help() -> float:
    """Seconds of processor time that the quickest command takes on this machine."""
    before = _work_of_children()
    subprocess.run([COMMAND, "--help"], capture_output=True, check=True, timeout=60)
    return _work_of_children() - before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BAD["unknown key"]),
        (BAD["text for a number"]),
        (BAD["not a number"]),
        (BAD["two models of one name"]),
        (BAD["bad address"]),
        (BAD["no TOML"]),
        (BAD["nested without end"]),
        (None, "no such settings file"),
        ("data = '/proc/nothing'", "/proc/nothing: cannot be written"),
        ("[database]\nurl = 'postgresql+asyncpg://u:canary-value@127.0.0.1:9/d'", "Start that server"),
    ],
)
def test_a_command_ends_with_two_soon_and_with_one_line_on_stderr(
    tmp_path: Path, text: str | None, told: str, work_of_help: float
) -> None:
    file = written(tmp_path, text) if text is not None else tmp_path / "nowhere.toml"
    before = _work_of_children()
    ended = subprocess.run(
        [COMMAND, "users", "list", "--config", file], capture_output=True, text=True, check=False, timeout=60
    )
    # Its own work beside that of --help, so that a busy or slow test machine changes nothing; nothing in it waits.
    assert _work_of_children() - before < 4 * work_of_help
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert told in ended.stderr
    assert "canary-value" not in ended.stderr


def _work_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# What settings come to


def test_relative_paths_stand_under_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "installation"
    home.mkdir()
    file = written(
        home,
        "data = 'd'\nmodels_dir = 'm'\nprompts_dir = '../p'\ncases = 'c.jsonl'\n[index]\nuri = 'i'\n" + SOURCE,
    )
    monkeypatch.setenv("HOME", "/home/ada")
    settings = load(Path("installation/assistant.toml"))
    assert settings == load(file)
    assert settings.data == home / "d"
    assert settings.models_dir == home / "m"
    assert settings.prompts_dir == home / "../p"
    assert settings.cases == home / "c.jsonl"
    assert settings.sources[0].path == home / "documents"
    assert settings.index_uri == str(home / "i")
    assert settings.database_url == f"sqlite+aiosqlite:///{home}/d/assistant.db"
    away = load(written(home, "data = '~/d'\nmodels_dir = '/m'\n[index]\nuri = 's3://bucket/i'"))
    assert away.data == Path("/home/ada/d")
    assert away.models_dir == Path("/m")
    assert away.index_uri == "s3://bucket/i"
    assert load(written(home, "data = '~nobody-of-that-name/d'")).data == home / "~nobody-of-that-name/d"


def test_the_data_folder_is_the_options_then_the_environments_then_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "data = 'from-file'")
    assert load(file).data == tmp_path / "from-file"
    monkeypatch.setenv("ASSISTANT_DATA", "from-environment")  # relative to where one stands, like any option
    assert load(file).data == tmp_path / "from-environment"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load(file, Path("from-option")).data == elsewhere / "from-option"
    monkeypatch.setenv("ASSISTANT_DATA", "")
    assert load(file).data == tmp_path / "from-file"


def test_the_file_is_the_one_named_then_the_environments_then_the_one_here_then_the_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load().company == load(PROJECT / "assistant.toml").company
    written(tmp_path, "company = 'here'")
    assert load().company == "here"
    (tmp_path / "other.toml").write_text("company = 'environment'")
    monkeypatch.setenv("ASSISTANT_CONFIG", str(tmp_path / "other.toml"))
    assert load().company == "environment"
    assert load(tmp_path / "assistant.toml").company == "here"


def test_an_empty_file_is_an_installation_with_every_default(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "\ufeff# saved by an editor that adds a mark\n"))
    assert settings.models.deployments == []
    assert not settings.demo
    assert settings.chat == Settings().chat


def test_secrets_are_read_when_asked_for_and_empty_when_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    monkeypatch.setenv("A_KEY", "value")
    assert settings.environment("A_KEY") == "value"
    assert settings.environment("NOT_SET_ANYWHERE") == ""
    assert settings.environment("") == ""


def test_cookies_are_secure_exactly_when_people_come_over_tls(tmp_path: Path) -> None:
    assert load(written(tmp_path, "[web]\npublic_url = 'https://ask.example'")).web.secure
    assert not load(written(tmp_path, "[web]\npublic_url = 'http://ask.example'")).web.secure
    assert not load(written(tmp_path, "")).web.secure
