"""CuraEngine from the command line, with its settings resolved by us: the engine itself knows no formulas."""
