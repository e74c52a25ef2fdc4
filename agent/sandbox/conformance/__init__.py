"""Checks any server that claims the Operator API, case by case, against docs/operator-api.yaml.

It shares no code with the agent's adapter, nor with the sandbox marketplace, so an error in one is not repeated in the other.
"""
