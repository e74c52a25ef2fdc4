"""[backup]: copies of everything, made by the daemon by itself."""

from pydantic import Field

from agent.config.values import Number, PathOption, Section, Whole


class BackupSettings(Section):
    """A copy of the ledger, the orders' files and this configuration, without its secrets. See docs/backup.md."""

    folder: PathOption | None = Field(
        None,
        description="Where to, best on another disk; under systemd it has to be writable for the agent. Not set: none are made.",
        examples=["/mnt/backup/intagly-agent"],
    )
    every_hours: Number = Field(24.0, ge=0.25, le=8760, description="So often.")
    keep: Whole = Field(7, ge=1, le=1000, description="So many are kept; older ones of this agent are removed from that folder.")
    with_files: bool = Field(
        True, description="false: without models, G-code, photos and labels, which are then yours to copy: data_dir/files only ever grows."
    )
