"""Command-line slicers: placing, slicing, and the proof that the G-code is what was ordered."""
