"""How many triangles an STL file announces, by the format's own rules. Written down anew: shares nothing with the reader."""

import re
import struct

_NUMBERS = rb"(?:\s+(?!(?:facet|normal|outer|loop|vertex|endloop|endfacet|solid|endsolid)\s)\S+){3}"
_FACET = re.compile(rb"\bfacet\s+normal%b\s+outer\s+loop(?:\s+vertex%b){3}\s+endloop\b[^\n]*\s+endfacet\b" % (_NUMBERS, _NUMBERS))


def announced(content: bytes) -> int:
    """Of a file that keeps the rules. Binary is what has its length and what cannot be text; else words count."""
    count = struct.unpack_from("<I", content, 80)[0] if len(content) >= 84 else 0
    if count and (len(content) == 84 + 50 * count or re.search(rb"[\x00-\x08\x0e-\x1f]", content[:4096])):
        return int(count)
    return len(_FACET.findall(content.lower().replace(b"\r", b"\n")))
