"""How long a start takes and what it holds: `make bench-start`."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time

from bench.processes import ASSISTANT, ROOT, free_port, memory_mb, running, wait_for

IDLE_AFTER_S = 5


def main() -> None:
    began = time.monotonic()
    subprocess.run([ASSISTANT, "--help"], check=True, stdout=subprocess.DEVNULL)
    help_s = time.monotonic() - began
    with tempfile.TemporaryDirectory() as folder:
        # The first start also builds the index; what is measured is every start after it.
        subprocess.run([ASSISTANT, "index", "sync", "--data", folder], check=True, stdout=subprocess.DEVNULL)
        port = free_port()
        with running(ASSISTANT, "serve", "--data", folder, "--port", str(port)) as server:
            first = wait_for(f"http://127.0.0.1:{port}/", 60)
            ready = first + wait_for(f"http://127.0.0.1:{port}/health/ready", 120)
            time.sleep(IDLE_AFTER_S)
            idle = memory_mb(server)
    size = subprocess.run(["du", "-sm", ROOT / ".venv"], check=True, capture_output=True, text=True).stdout.split()[0]
    figures = {
        "help_s": round(help_s, 2),
        "first_page_s": round(first, 2),
        "ready_s": round(ready, 2),
        "idle_mb": round(idle),
        "env_mb": int(size),
    }
    print(json.dumps(figures))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    main()
