"""From configuration to backups and the rules for old files."""

from datetime import timedelta

from agent import __version__
from agent.config.belongings import files_of
from agent.config.model import Settings
from agent.domain.errors import ConfigError, Refused
from agent.ledger.backup import sqlite_path
from agent.ledger.taking import Sources
from agent.ledger.upkeep import Backups, Tidying
from agent.wiring import ledger_url
from agent.workflow.shop import Shop


def backup_sources(settings: Settings, *, with_files: bool, with_secrets: bool = False) -> Sources:
    """Refused where the ledger is a server's."""
    folder = settings.agent.data_dir
    return Sources(
        agent=settings.agent.name,
        version=__version__,
        ledger=sqlite_path(ledger_url(settings)),
        data_dir=folder,
        config=files_of(settings, secrets=with_secrets),
        beside=[settings.backup.folder] if settings.backup.folder else [],
        with_files=with_files,
        with_secrets=with_secrets,
    )


def backups(settings: Settings, shop: Shop) -> Backups | None:
    """None where none are to be made. ConfigError where the ledger is a server's."""
    wanted = settings.backup
    if wanted.folder is None:
        return None
    try:
        sources = backup_sources(settings, with_files=wanted.with_files)
    except Refused as refused:
        raise ConfigError(f"[backup] folder: {refused}", hint=refused.hint) from refused
    return Backups(sources, wanted.folder, timedelta(hours=wanted.every_hours), wanted.keep, shop.notifier, shop.now)


def tidying(settings: Settings) -> Tidying:
    return Tidying(ledger_url(settings), settings.agent.data_dir / "files", settings.retention.value())
