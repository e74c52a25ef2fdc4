"""How high the layers of a file are, told by what is laid in them and not by what a comment says."""

_DOT_MM = 0.3
"""Filament of a layer that is but the tip of a cone; the slicer leaves out some of those."""
_MOST_KEPT = 100


class LayerSteps:
    """The steps from layer to layer while the file goes by. Heights in mm; 0 where there is none."""

    def __init__(self) -> None:
        self.first_mm = 0.0
        """How high the first thing is laid."""
        self.widest_mm = 0.0
        """From anything laid to what is laid above it, dots aside."""
        self._z = self._part_z = 0.0
        """Where something was laid in this layer, and where a part was."""
        self._laid_mm = 0.0
        self._last_z = self._last_part_z = 0.0
        self._counts: dict[float, int] = {}

    def laid(self, z: float, filament_mm: float, *, of_part: bool) -> None:
        self._z = z
        self._laid_mm += filament_mm
        if of_part:
            self._part_z = z

    def layer_ends(self) -> None:
        """How far it rose above the one before."""
        if self._z:
            if not self._last_z:
                self.first_mm = round(self._z, 3)
            elif self._laid_mm >= _DOT_MM:
                self.widest_mm = max(self.widest_mm, round(self._z - self._last_z, 3))
            self._last_z, self._z, self._laid_mm = self._z, 0.0, 0.0
        if self._part_z:
            step = round(self._part_z - self._last_part_z, 3)
            if self._last_part_z and (step in self._counts or len(self._counts) < _MOST_KEPT):
                self._counts[step] = self._counts.get(step, 0) + 1
            self._last_part_z, self._part_z = self._part_z, 0.0

    def most_often(self) -> float:
        """The step that comes most often where parts are laid; 0 with fewer than two of them."""
        return max(self._counts, key=lambda step: self._counts[step], default=0.0)
