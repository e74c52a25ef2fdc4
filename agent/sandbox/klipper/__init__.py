"""A simulated micro-controller for a real Klippy: its protocol on a pseudo-terminal, in real time, with heaters that heat;
and the machine around both: a real Moonraker and a broker (machine.py, serve.py).

Written from Klipper's protocol documentation (docs/Protocol.md and docs/MCU_Commands.md) and from what Klippy 0.12 asks for;
Klipper's own code is GPL and nothing of it is in here. Not seen beside real hardware.
"""
