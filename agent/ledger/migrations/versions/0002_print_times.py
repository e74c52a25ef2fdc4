"""How long prints took."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "print_times",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("printer", sa.String(length=100), nullable=False),
        sa.Column("profile", sa.String(length=100), nullable=False),
        sa.Column("slicer", sa.String(length=200), nullable=False),
        sa.Column("planned_s", sa.Integer(), nullable=False),
        sa.Column("took_s", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_print_times_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_print_times")),
    )
    with op.batch_alter_table("print_times", schema=None) as batch_op:
        batch_op.create_index("ix_print_times_printer", ["printer"], unique=False)


def downgrade() -> None:
    op.drop_table("print_times")
