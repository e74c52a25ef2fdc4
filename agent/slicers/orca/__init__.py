"""OrcaSlicer and Bambu Studio from the command line. Neither was ever run by us: no package of Debian or PyPI has them.

Everything here is read in their public sources (SoftFever/OrcaSlicer: src/OrcaSlicer.cpp, src/libslic3r/{PrintConfig,Config,GCode}.cpp,
Format/bbs_3mf.cpp; bambulab/BambuStudio: src/BambuStudio.cpp; both: src/libslic3r/Utils.hpp) and in G-code that people published, and is
tested against a program of ours that writes what those sources say. What the real ones do differently ends as a reason with a name, or
as a line of the proof that does not hold; nothing is sent that does not prove.
"""
