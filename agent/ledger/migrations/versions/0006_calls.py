"""Who is called about what: notices, the calls made for them, and the buttons that went with them.

What was asked before there was this table has been told already: it gets a notice that is over, so that nobody is called again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    notices = op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("run", sa.String(length=32), nullable=False),
        sa.Column("event", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("notice", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("snoozed_by", sa.String(length=100), nullable=False),
        sa.Column("over", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("key", name=op.f("uq_notices_key")),
    )
    op.create_index("ix_notices_over", "notices", ["over"])
    op.create_index("ix_notices_subject", "notices", ["subject"])
    op.create_table(
        "calls",
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(length=100), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["notice_id"], ["notices.id"], name=op.f("fk_calls_notice_id")),
        sa.PrimaryKeyConstraint("notice_id", "person", name=op.f("pk_calls")),
    )
    op.create_table(
        "buttons",
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(length=100), nullable=False),
        sa.Column("act", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.JSON(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pressed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["notice_id"], ["notices.id"], name=op.f("fk_buttons_notice_id")),
        sa.PrimaryKeyConstraint("secret_sha256", name=op.f("pk_buttons")),
    )
    _told_already(notices)


def _told_already(notices: sa.Table) -> None:
    columns: list[sa.ColumnClause[str]] = [sa.column(name) for name in ("id", "order_id", "step", "printer", "text")]
    asked = sa.table("questions", *columns, sa.column("asked_at", sa.DateTime(timezone=True)), sa.column("settled", sa.Boolean()))
    connection = op.get_bind()
    for row in connection.execute(sa.select(asked).where(asked.c.settled == sa.false())).mappings().all():
        told = {"event": "asked", "title": row["step"], "text": row["text"], "order_id": row["order_id"], "printer": row["printer"]}
        connection.execute(
            sa.insert(notices).values(
                key=f"question {row['id']}",
                run="",
                event="asked",
                subject=f"{row['order_id']} {row['printer']}",
                notice={**told, "step": row["step"]},
                made_at=row["asked_at"],
                snoozed_by="",
                over=True,
            )
        )


def downgrade() -> None:
    for table in ("buttons", "calls", "notices"):
        op.drop_table(table)
