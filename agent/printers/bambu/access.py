"""Where a Bambu printer is, what opens it, and what its model is."""

from dataclasses import dataclass, field
from pathlib import Path

USER = "bblp"
"""The one user that every printer has; its password is the access code."""

MODEL_IDS = {"P1S": "C12", "P1P": "C11", "X1C": "BL-P001", "X1E": "C13", "A1": "N2S", "A1 mini": "N1", "H2D": "O1D"}
"""As the vendor's slicer names the models in its packages (read in public packages and profiles). P2S: not known, left empty."""

PICTURES_ON_PORT_6000 = frozenset({"P1P", "P1S", "A1", "A1 mini"})
"""The other models send a video stream (RTSP on port 322), which this adapter does not read."""


@dataclass(frozen=True)
class BambuAccess:
    """One printer in LAN mode with Developer Mode on.

    `ca_file`: the certificate authority (PEM) that signed the printer's certificate. We do not ship Bambu Lab's; docs/printers.md tells
    how to get it once. `url_form`: how a stored file is named to the printer; firmwares differ.
    """

    host: str
    serial: str
    access_code: str = field(repr=False)
    ca_file: Path
    model: str
    url_form: str = "ftp:///{file}"
    use_ams: bool = True
    mqtt_port: int = 8883
    ftps_port: int = 990
    camera_port: int = 6000
    work_dir: Path | None = None
    """Where packages are made before they are sent: as large as the G-code's, for as long as the upload. None: the system's own."""
