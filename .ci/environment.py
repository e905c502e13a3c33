"""Checks what is installed: locks that are current and name no registry, no copyleft licence, no unknown `.pth`."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKS = {"requirements.lock": [], "requirements-test.lock": ["--extra", "test", "--constraint", "requirements.lock"]}
# What the product ships with must not be copyleft; what only its tests use may be of the lesser kind.
LESSER = re.compile(r"\bLGPL|Lesser General Public", re.IGNORECASE)
COPYLEFT = re.compile(r"\b[AL]?GPL|Affero|\bGNU\b|\bEUPL|\bSSPL|\bCC[- ]BY[- ]SA", re.IGNORECASE)
# Runs at every start of Python, so each must be known: setuptools' shim, and our own editable install.
KNOWN_PTH = {"distutils-precedence.pth", "_editable_impl_assistant.pth", "_assistant.pth", "assistant.pth"}
FORBIDDEN = {("litellm", "1.82.7"), ("litellm", "1.82.8")}


def locks() -> list[str]:
    """Compile again with today's pins preferred: any difference means pyproject.toml and lock have parted."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for name, options in LOCKS.items():
            copy = Path(shutil.copy(ROOT / name, folder))
            command = [
                Path(sys.prefix) / "bin" / "uv", "pip", "compile", "--python", sys.executable, "--universal",
                "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header",
                "--no-annotate", "--quiet", *options, "--output-file", copy, "pyproject.toml",
            ]  # fmt: skip
            subprocess.run(command, cwd=ROOT, check=True)
            if copy.read_text() != (ROOT / name).read_text():
                problems.append(f"{name} does not fit pyproject.toml: run `make lock`")
            if "://" in copy.read_text():
                problems.append(f"{name} names an address")
    return problems


def packages() -> list[str]:
    problems = []
    shipped = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for package in importlib.metadata.distributions():
        meta = package.metadata
        classifiers = [c for c in meta.get_all("Classifier") or [] if c.startswith("License")]
        said = " | ".join(
            filter(None, [meta.get("License-Expression"), (meta.get("License") or "")[:80], *classifiers])
        )
        for_tests_only = re.sub(r"[-_.]+", "-", meta["Name"]).lower() not in shipped
        if COPYLEFT.search(said) and not (for_tests_only and LESSER.search(said)):
            problems.append(f"{meta['Name']} {package.version} has a copyleft licence: {said}")
        if (meta["Name"].lower(), package.version) in FORBIDDEN:
            problems.append(f"{meta['Name']} {package.version} is a malicious release")
    return problems


def startup_files() -> list[str]:
    site = Path(sysconfig.get_paths()["purelib"])
    return [
        f"{p.name} runs at every start and no known package brings it"
        for p in site.glob("*.pth")
        if p.name not in KNOWN_PTH
    ]


if __name__ == "__main__":
    found = [*locks(), *packages(), *startup_files()]
    for problem in found:
        sys.stderr.write(problem + "\n")
    sys.exit(1 if found else 0)
