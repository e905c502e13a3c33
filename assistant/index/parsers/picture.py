"""Pictures of text: read by tesseract, where it is on the machine."""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import time
from typing import Any

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed

INSTALL = "install tesseract to read them"
NEEDS_TESSERACT = f"holds only images; {INSTALL}"
# For all pictures of a file, so that the time that a file may take is kept.
SECONDS = 20.0
PIXELS = 60_000_000
FRAMES = 50
LANGUAGES = 4


def _program() -> str | None:
    return shutil.which("tesseract")


def available() -> bool:
    """Whether this machine can read pictures."""
    return _program() is not None


@functools.cache
def _languages() -> str:
    """The languages that are installed, a few of them: each makes reading slower."""
    told = subprocess.run(  # noqa: S603 - a program of this machine, and no word of a document
        [_program() or "", "--list-langs"], capture_output=True, text=True, timeout=10, check=False
    )
    names = [line.strip() for line in told.stdout.splitlines()[1:]]
    wanted = [n for n in names if n and n != "osd" and "/" not in n]
    wanted.sort(key=lambda n: (n != "eng", n))
    return "+".join(wanted[:LANGUAGES]) or "eng"


class Reading:
    """Reads the pictures of one file within one limit of time."""

    def __init__(self) -> None:
        self._until = time.monotonic() + SECONDS

    def text(self, image: Any) -> str:
        """The text of a picture that Pillow opened. Raises `ParseError` when it is too large or the time is over."""
        if image.width * image.height > PIXELS:
            raise ParseError(f"holds a picture of more than {PIXELS // 1_000_000} million dots")
        out = io.BytesIO()
        image.convert("L").save(out, "PNG", compress_level=1)
        try:
            done = subprocess.run(  # noqa: S603 - the picture goes in by its standard input
                [_program() or "", "stdin", "stdout", "-l", _languages()],
                input=out.getvalue(),
                capture_output=True,
                timeout=max(0.1, self._until - time.monotonic()),
                check=False,
                # A core of its own for each file, not all of them for one.
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            )
        except subprocess.TimeoutExpired as error:
            raise ParseError(
                "holds more pictures of text than can be read in time; give it a text layer (ocrmypdf) or split it"
            ) from error
        return done.stdout.decode("utf-8", "replace").replace("\f", "")


def picture(data: bytes) -> Parsed:
    """The text in an image file."""
    from PIL import Image, ImageSequence

    if not available():
        raise ParseError(NEEDS_TESSERACT)
    page = Page()
    reading = Reading()
    with Image.open(io.BytesIO(data)) as image:
        media = Image.MIME.get(image.format or "", "image/png")
        many = getattr(image, "n_frames", 1) > 1 and image.format == "TIFF"
        for number, frame in enumerate(ImageSequence.Iterator(image) if many else [image], 1):
            if number > FRAMES:
                break
            page.page = number if many else None
            page.paragraphs(reading.text(frame))
    return page.done(media, "")
