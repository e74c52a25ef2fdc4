"""Dashboards: the shop over MQTT, for Home Assistant and whatever else reads it."""
