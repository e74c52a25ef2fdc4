"""The words three families of slicers have for the same thing in their G-code's comments. Ours are PrusaSlicer's.

CuraEngine's are those of 4.13 (seen). OrcaSlicer's and Bambu Studio's are read in public G-code and sources; neither runs in our tests.
"""

SUPPORTS = ("Support material", "Support material interface")
INFILL = "Internal infill"
NOT_THE_PART = (*SUPPORTS, "Skirt/Brim", "Skirt", "Brim", "Wipe tower", "Custom")

FEATURES = {
    # CuraEngine
    "WALL-OUTER": "External perimeter",
    "WALL-INNER": "Perimeter",
    "SKIN": "Solid infill",
    "FILL": INFILL,
    "SUPPORT": SUPPORTS[0],
    "SUPPORT-INTERFACE": SUPPORTS[1],
    "SKIRT": "Skirt/Brim",
    "PRIME-TOWER": "Wipe tower",
    # OrcaSlicer, Bambu Studio
    "Outer wall": "External perimeter",
    "Inner wall": "Perimeter",
    "Overhang wall": "Overhang perimeter",
    "Sparse infill": INFILL,
    "Internal solid infill": "Solid infill",
    "Bottom surface": "Solid infill",
    "Top surface": "Top solid infill",
    "Bridge": "Bridge infill",
    "Internal Bridge": "Bridge infill",
    "Gap infill": "Gap fill",
    "Support": SUPPORTS[0],
    "Support transition": SUPPORTS[0],
    "Support interface": SUPPORTS[1],
    "Prime tower": "Wipe tower",
    "Flush": "Custom",
}
"""What another slicer calls it -> PrusaSlicer's word. What is not here is told as it is."""
