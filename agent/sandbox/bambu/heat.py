"""How warm the printer is, in °C: as much of it as a client can see."""

NOZZLE_C, BED_C = 220.0, 60.0
COLD_NOZZLE_C, COLD_BED_C = 25.0, 24.0


def heating(share: float) -> dict[str, float]:
    """Fields of the report at that share, 0…1, of the way to printing."""
    return {**_warm(share), "nozzle_target_temper": NOZZLE_C, "bed_target_temper": BED_C}


def cooling(share: float) -> dict[str, float]:
    """The same, of the way to cold, heaters off."""
    return {**_warm(1 - share), "nozzle_target_temper": 0.0, "bed_target_temper": 0.0}


def _warm(share: float) -> dict[str, float]:
    nozzle, bed = (cold + share * (warm - cold) for cold, warm in ((COLD_NOZZLE_C, NOZZLE_C), (COLD_BED_C, BED_C)))
    return {"nozzle_temper": round(nozzle, 1), "bed_temper": round(bed, 1)}
