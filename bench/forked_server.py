"""The real server, started again and again without importing its libraries anew: `CONFIG DATA PORT`.

Each line on stdin starts one in a forked process and prints its id; `kill -9` of that id ends it. Importing takes most
of a start, and is not what a kill can harm.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from assistant.settings import load
from assistant.web import app, chainlit_home


def main() -> None:
    config, data, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    # What the server starts reads the same settings, as with `assistant serve --config`.
    os.environ["ASSISTANT_CONFIG"] = str(config.resolve())
    settings = load(config, data)
    settings = settings.model_copy(update={"web": settings.web.model_copy(update={"port": port})})
    chainlit_home.prepare(settings)
    for name in app.HEAVY:
        importlib.import_module(name)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            app.run(settings)
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
