"""A mailbox as a marketplace, see marketplace.py."""
