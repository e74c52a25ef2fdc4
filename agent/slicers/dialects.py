"""The words three families of slicers have for the same thing in their G-code's comments. Ours are PrusaSlicer's.

CuraEngine's are those of 4.13 (seen). OrcaSlicer's and Bambu Studio's are read in their sources (src/libslic3r/: ExtrusionEntity.cpp
role_to_string, GCode.cpp _do_export, GCode/GCodeProcessor.cpp Reserved_Tags) and in G-code that people published; neither program runs in
our tests.

They have two ways of writing. For most printers OrcaSlicer writes as PrusaSlicer does (`;TYPE:`, `;LAYER_CHANGE`, `; printing object NAME
id:N copy M`) and its settings last, between `; CONFIG_BLOCK_START` and `; CONFIG_BLOCK_END`. For printers whose model begins with
"Bambu Lab" both write `; FEATURE: `, `; CHANGE_LAYER` and the settings first; the file ends with `; EXECUTABLE_BLOCK_END`, and OrcaSlicer's
counts of filament after that. Bambu Studio tells time and filament in the head only (its "volume [cm^3]" is in mm³), and gives each copy a
number.
"""

SUPPORTS = ("Support material", "Support material interface")
INFILL = "Internal infill"
NUMBERED = "label-"
"""How the name of a copy begins that has but a number in the G-code."""
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
    "Floating vertical shell": "Solid infill",
    "Gap infill": "Gap fill",
    "Support": SUPPORTS[0],
    "Support transition": SUPPORTS[0],
    "Support interface": SUPPORTS[1],
    "Prime tower": "Wipe tower",
    "Flush": "Custom",
}
"""What another slicer calls it -> PrusaSlicer's word. What is not here is told as it is."""
