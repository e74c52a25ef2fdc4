"""Whether the kernel's clock is held by a time service (adjtimex(2): STA_UNSYNC in the status, TIME_ERROR as the answer)."""

import ctypes

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """The head of struct timex, and room for the rest of it."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


def is_synchronised() -> bool | None:
    """None where the kernel does not say."""
    timex = _Timex()  # modes 0: only read
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if answer < 0:
        return None
    return answer != _TIME_ERROR and not timex.status & _STA_UNSYNC
