"""Printers, all behind ports.printer: OctoPrint, Klipper by way of Moonraker, Bambu, and the virtual one."""
