"""Bambu Lab printers over the LAN: MQTT, FTPS and a camera port. Not seen on hardware."""
