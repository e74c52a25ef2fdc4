"""How a mailbox stands, for `check`: nothing is taken, nothing is written."""

from dataclasses import dataclass
from pathlib import Path

from agent.marketplaces.mailbox.post import Post
from agent.marketplaces.mailbox.seen import Done, Outcome, Seen
from agent.marketplaces.mailbox.templates import load_templates
from agent.wire.imap import ImapServer, ImapSession


@dataclass(frozen=True)
class Standing:
    """`questions`: folders of mails that wait for a person. `unproven`: mails that were not believed."""

    mails: int
    tells: bool
    """The server tells of new mails itself."""
    templates: list[str]
    questions: list[Path]
    unproven: list[Done]


async def look_at(server: ImapServer, mail_folder: str, state: Path, templates_dir: Path | None) -> Standing:
    """Log in, and look. Errors as of ImapSession and load_templates."""
    templates = load_templates(templates_dir)
    async with ImapSession(server) as session:
        folder = await session.examine(mail_folder)
        tells = session.can_idle
    seen = Seen(state / "seen.json")
    seen.load()
    return Standing(
        mails=folder.mails,
        tells=tells,
        templates=[template.title for template in templates],
        questions=Post(state, 0).open_questions(),
        unproven=[done for done in seen.all() if done.outcome is Outcome.UNPROVEN],
    )
