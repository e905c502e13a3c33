"""Chainlit's folder: its configuration is written by us at each start, below the data folder."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from assistant.settings import PROJECT, Settings
from assistant.web.sessions import signing_secret
from assistant.web.surface import LOCALES

PAGES = Path(__file__).parent / "pages"
_READMES = {
    "chainlit.md": PROJECT / "chainlit.md",
    **{f"chainlit_{language}.md": PROJECT / "chainlit.md" for language in ("en-US", "en-GB", "en")},
    **{f"chainlit_{language}.md": PAGES / "chainlit_de.md" for language in ("de-DE", "de")},
}
_CONFIG = """[project]
user_env = []
session_timeout = 3600
user_session_timeout = {seconds}
cache = false
persist_user_env = false
mask_user_env = true
allow_origins = []
# One connection a person and none that needs sticky routing.
transports = ["websocket"]

[features]
unsafe_allow_html = false
latex = false
user_message_markdown = false
user_message_autoscroll = true
assistant_message_autoscroll = true
auto_tag_thread = false
edit_message = true
allow_thread_sharing = false
favorites = false

[features.spontaneous_file_upload]
enabled = false
accept = []
max_files = 0
max_size_mb = 0

[features.audio]
enabled = false

[features.mcp]
enabled = false

[UI]
name = "Assistant"
description = {description}
default_theme = "light"
cot = "hidden"
confirm_new_chat = false
default_sidebar_state = "open"
alert_style = "modern"
custom_css = "/public/assistant.css"
custom_js = "/public/assistant.js"
custom_js_attributes = "defer"
custom_meta_url = "/"
custom_meta_image_url = "/"
login_page_image = "/chat/public/login.svg"
login_page_image_dark_filter = "brightness-75"

[meta]
generated_by = "2.12.0"
"""


def prepare(settings: Settings) -> Path:
    """Write the folder and point Chainlit at it; must run before chainlit is imported. Returns the folder."""
    home = settings.data / "chainlit"
    translations = home / ".chainlit" / "translations"
    translations.mkdir(parents=True, exist_ok=True)
    config = _CONFIG.format(
        seconds=settings.web.session_hours * 3600,
        description=json.dumps(f"Ask the documents of {settings.company}."),
    )
    (home / ".chainlit" / "config.toml").write_text(config, encoding="utf-8")
    _link(home / "public", PROJECT / "public")
    # Copied, not linked: Chainlit follows a link and then refuses what lies outside.
    for name, source in _READMES.items():
        (home / name).unlink(missing_ok=True)
        shutil.copyfile(source, home / name)
    os.environ["CHAINLIT_APP_ROOT"] = str(home)
    os.environ["CHAINLIT_AUTH_SECRET"] = signing_secret(settings)
    os.environ["CHAINLIT_COOKIE_SAMESITE"] = "lax"
    if settings.web.public_url:
        os.environ["CHAINLIT_URL"] = settings.web.public_url
    return home


def _link(name: Path, target: Path) -> None:
    if name.is_symlink() and name.readlink() == target:
        return
    if name.is_symlink() or name.is_file():
        name.unlink()
    elif name.is_dir():
        shutil.rmtree(name)
    name.symlink_to(target, target_is_directory=target.is_dir())


def speak(home: Path) -> None:
    """Lay our words over Chainlit's translations; must run after chainlit is imported, which makes the files."""
    from chainlit.config import TRANSLATIONS_DIR

    for language in LOCALES.values():
        words = json.loads((Path(TRANSLATIONS_DIR) / f"{language}.json").read_text(encoding="utf-8"))
        ours = json.loads((PAGES / f"words_{language}.json").read_text(encoding="utf-8"))
        text = json.dumps(_merged(words, ours), ensure_ascii=False, indent=1)
        (home / ".chainlit" / "translations" / f"{language}.json").write_text(text, encoding="utf-8")


def _merged(words: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    out = dict(words)
    for key, value in ours.items():
        out[key] = _merged(out.get(key, {}), value) if isinstance(value, dict) else value
    return out


def self_contained(html: str) -> str:
    """The page without anything that another host would have to serve: fonts, formulas, pictures of the vendor."""
    html = re.sub(r"<link\b[^>]*https?://[^>]*>", "", html)
    html = re.sub(r"<meta property=\"og:(?!root_path)[^>]*>", "", html)  # the page finds its mount by that one
    return html.replace("<script>\nundefined\n", "<script>\n")


def script_hashes(html: str) -> tuple[str, ...]:
    """The hashes that let the inline scripts of this very page run, and no others."""
    inline = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    return tuple(base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in inline)
