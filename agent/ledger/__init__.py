"""What the agent knows and means to do: SQLAlchemy Core on SQLite or PostgreSQL, and files by sha256."""
