"""Klipper by way of Moonraker: commands and state as JSON-RPC over MQTT, files and pictures over HTTP.

Seen with Moonraker 0.11.0, Klipper v0.12.0-dev283 on a simulated board, and mosquitto 2.0.11. Not seen on hardware.
"""
