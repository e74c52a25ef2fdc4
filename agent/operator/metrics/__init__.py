"""Prometheus metrics: figures of the ledger, the workflow's last looks at the printers, and what this process counted."""
