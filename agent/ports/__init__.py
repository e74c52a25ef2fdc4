"""What the workflow needs of a printer, a slicer, a marketplace, a person: protocols only."""
