"""What a file may cost. Known to both sides of the pipe, so nothing heavy is imported here."""

from typing import NamedTuple

MB = 2**20


class Limits(NamedTuple):
    """Gates before anything is read, and what the child process of one file may use.

    ASCII is bulkier than binary and dearer to read, so its gate is lower. `max_xml_bytes` holds for a 3MF file unpacked. `cpu_s` and
    `memory_bytes` (address space) are enforced by the kernel, `wall_s` by the parent.
    """

    max_bytes: int = 256 * MB
    max_ascii_bytes: int = 128 * MB
    max_facets: int = 5_000_000
    max_shells: int = 64
    memory_bytes: int = 1536 * MB
    cpu_s: int = 30
    wall_s: float = 90.0
    max_xml_bytes: int = 512 * MB


def size_problem(size: int, limits: Limits) -> tuple[str, str] | None:
    """Code and sentence for a file that need not be read at all."""
    if size == 0:
        return "EMPTY", "The file is empty."
    if size > limits.max_bytes:
        return "TOO_LARGE", f"The file has {size / MB:,.0f} MB; models of up to {limits.max_bytes // MB} MB are taken."
    return None


def count_problem(facets: int, limits: Limits) -> tuple[str, str]:
    """Code and sentence for a model of more triangles than the limits allow."""
    return "TOO_MANY_FACETS", f"The model has {facets:,} triangles; up to {limits.max_facets:,} are taken."
