"""The demo: a whole order, from offer to delivered, on real parts; only the marketplace, the printer and the person are played."""
