"""Carriers' labels: looked at before anything is done with them, printed once."""
