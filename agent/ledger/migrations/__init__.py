"""The schema's history. Each migration is one file under versions/; none is ever changed after a release."""
