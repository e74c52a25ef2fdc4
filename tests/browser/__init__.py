"""The page in a real browser. A package of its own, so that one browser and one shop serve all of it, and end with it."""
