"""The comparison's child: `python -m bench.trimesh_checks FILE` loads a mesh with trimesh and asks the usual questions.

One JSON line on stdout: processor seconds without the imports, and the peak of memory in MiB, both by the system's own accounts.
"""

import json
import sys
import time
from pathlib import Path

import trimesh


def peak_mib(pid: int | str) -> float:
    """The most that process had in memory; 0 once it is gone. getrusage would tell a fork its parent's peak."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def main(file: str) -> None:
    began = time.process_time()
    mesh = trimesh.load_mesh(file)
    answers = (mesh.is_watertight, mesh.is_winding_consistent, mesh.is_volume, mesh.volume, mesh.bounds)
    cpu_s = time.process_time() - began
    print(json.dumps({"cpu_s": cpu_s, "peak_mib": peak_mib("self"), "sound": all(answers[:3])}))


if __name__ == "__main__":
    main(sys.argv[1])
