"""3MF files as a test wants them, well made or not: parts by name, XML by hand. Shares nothing with the reader."""

import io
import zipfile
from collections.abc import Iterable, Mapping

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)

Corner = tuple[float, float, float]
Facet = tuple[Corner, Corner, Corner]


def relations(*targets: str) -> str:
    kind = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
    rows = "".join(f'<Relationship Target="{target}" Id="rel{n}" Type="{kind}"/>' for n, target in enumerate(targets))
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{rows}</Relationships>'


def mesh(
    facets: Iterable[Facet], vertex: str = '<vertex x="{}" y="{}" z="{}"/>\n', triangle: str = '<triangle v1="{}" v2="{}" v3="{}"/>\n'
) -> str:
    """`vertex` and `triangle`: how each is written."""
    places: dict[Corner, int] = {}
    rows = [[places.setdefault(corner, len(places)) for corner in facet] for facet in facets]
    vertices = "".join(vertex.format(*corner) for corner in places)
    triangles = "".join(triangle.format(*row) for row in rows)
    return f"<mesh><vertices>\n{vertices}</vertices><triangles>\n{triangles}</triangles></mesh>"


def thing(number: int, content: str, attributes: str = "") -> str:
    return f'<object id="{number}" {attributes}>{content}</object>'


def placed(number: int, transform: str = "1 0 0 0 1 0 0 0 1 0 0 0", attributes: str = "") -> str:
    return f'objectid="{number}" transform="{transform}" {attributes}'


def components(*places: str) -> str:
    """As `placed` says."""
    return f"<components>{''.join(f'<component {place}/>' for place in places)}</components>"


def items(*places: str) -> str:
    return "".join(f"<item {place}/>" for place in places)


def model(objects: str, items: str = '<item objectid="1"/>', attributes: str = 'unit="millimeter"') -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<model xmlns="{CORE}" xmlns:p="{PRODUCTION}" {attributes}>'
        f"<resources>{objects}</resources><build>{items}</build></model>"
    )


def package(start: str | bytes, parts: Mapping[str, str | bytes] | None = None, *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """`start`: the content of its first model part. `parts`: more, or others in the place of those that every 3MF has."""
    usual = {"[Content_Types].xml": TYPES, "_rels/.rels": relations("/3D/3dmodel.model"), "3D/3dmodel.model": start}
    return archive({**usual, **(parts or {})}, compression=compression)


def archive(parts: Mapping[str, str | bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return packed.getvalue()
