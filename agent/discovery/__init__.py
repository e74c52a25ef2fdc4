"""What is in the operator's own network, as it announces itself: printers and brokers. For `setup`; the daemon looks for nothing."""

SECONDS = 6.0
"""To listen for: Bambu printers tell of themselves about every five."""
