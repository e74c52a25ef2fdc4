"""Printers, all behind ports.printer: OctoPrint (octoprint over octorest_client over bounded_http) and the virtual one."""
