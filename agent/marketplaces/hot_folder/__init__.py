"""The hot folder: orders dropped as files, see marketplace.py."""
