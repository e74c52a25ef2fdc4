"""The page people look, answer and agree on, and the same for scripts as an HTTP API. `server` is light; all else loads with a visitor."""
