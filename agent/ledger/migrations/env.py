"""Alembic's entry: it is always given an open connection."""

from alembic import context

from agent.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True, transactional_ddl=True
)
context.run_migrations()
