"""A Bambu printer on loopback: a real broker with TLS, implicit FTPS, a TLS camera, and the printer's states behind them.

Written from OpenBambuAPI's description of the protocol and from what clients in the open expect; not seen beside real hardware.
"""
