"""A marketplace on loopback: the reference server of docs/operator-api.yaml, with faults by name.

It shares no code with the adapter that talks to it, so an error in one is not repeated in the other.
"""
