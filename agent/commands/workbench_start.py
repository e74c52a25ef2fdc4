"""How `quote` and `slice` begin: what takes long is started first, and what comes next is done while it runs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.options import ConfigSource
from agent.meshes.process import Worker

if TYPE_CHECKING:
    from agent.commands.workbench import Workbench
    from agent.config.model import Settings


@asynccontextmanager
async def bench_for(config: ConfigSource, models: Sequence[Path]) -> AsyncIterator[tuple["Settings", "Workbench"]]:
    """The configuration, and a bench with these models judged. ConfigError and click's UsageError as `ConfigSource.settings`."""
    worker = Worker()
    try:
        await worker.spawn()  # it takes as long to load numpy as we take for the rest of this, and on another core
        settings = config.settings()
        # Late: it takes a quarter of a second, in which the worker gets ready.
        from agent.commands.workbench import workbench  # noqa: PLC0415

        async with workbench(settings, models, worker) as bench:
            yield settings, bench
    finally:
        await worker.close()
