"""Profiles out of what other programs export: flattened, told key by key, and written as a folder of ours."""
