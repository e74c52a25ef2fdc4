"""Whether a daemon is at work over a data folder, without getting in its way: its lock is read, never tried."""

from pathlib import Path


def pid_at_work(data_dir: Path, locks: Path = Path("/proc/locks")) -> int | None:
    """The process that holds data_dir/lock, by the kernel's own list; None where nobody does, or where that cannot be read.

    Trying the lock ourselves would keep a daemon from starting that asks for it in the same instant. Lines of proc(5):
    `1: FLOCK  ADVISORY  WRITE 4242 00:2f:1234 0 EOF`.
    """
    try:
        inode = (data_dir / "lock").stat().st_ino
        lines = locks.read_text(encoding="ascii").splitlines()
        wrote = (data_dir / "lock").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[4] == wrote and words[5].rpartition(":")[2] == str(inode):
            return int(wrote)
    return None
