"""Takes 3D-print orders from a marketplace, prints each once, and leads the operator's hands through the rest."""

__version__ = "0.1.0"
