"""Joins a table's small files within bounded memory: LanceDB's own `optimize` takes what it takes."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from typing import Any

from assistant.index.store import Store, Table
from assistant.index.workers import resident_mb

log = logging.getLogger(__name__)
# Joining takes about 3 kB a passage beyond what the process has already (60,000 passages: 140 MB).
MEGABYTES = 1_024
# Up to so many passages it is done where the run is; starting a process would cost more.
INLINE = 20_000
_spawn = multiprocessing.get_context("spawn")


def _join(uri: str, name: str) -> None:
    async def join() -> None:
        await (await Store(uri).open(name)).join()

    asyncio.run(join())


async def join(store: Store, table: Table) -> bool:
    """Join the files of a table that is written to. False when that took too much memory: it then stays as it was."""
    if await table.count() <= INLINE:
        await table.join()
        return True
    process: Any = _spawn.Process(target=_join, args=(store.uri, table.name), daemon=True)
    process.start()
    try:
        while process.is_alive():
            if resident_mb(process.pid) > MEGABYTES:
                log.warning(
                    "Joining the files of %s was ended at %d MB; searches go on as before.", table.name, MEGABYTES
                )
                return False
            await asyncio.sleep(0.1)
        if process.exitcode:
            log.warning("Joining the files of %s ended with %s; searches go on.", table.name, process.exitcode)
        return not process.exitcode
    finally:
        # A process that is killed while it joins leaves the table as it was before.
        process.kill()
        await asyncio.to_thread(process.join)
        await table.refresh()
