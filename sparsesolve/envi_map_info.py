"""ENVI's ``map info``: the affine transform and coordinate system of a header."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from sparsesolve.cube_check import affine

_DATUMS = {
    "wgs-84": {"north": 32600, "south": 32700},
    "nad-27": {"north": 26700},
    "nad-83": {"north": 26900},
    "north america 1927": {"north": 26700},
    "north america 1983": {"north": 26900},
}
"""EPSG code of a datum's UTM zone 0, by hemisphere."""

_UTM_CODE = re.compile(r"EPSG:32([67])(\d\d)", re.IGNORECASE)
_UTM_NAME = re.compile(r"WGS[_ ](?:19)?84\b.*UTM[_ ]zone[_ ](\d+)([NS])", re.I | re.S)
_GEOGRAPHIC = re.compile(r"\s*(GEOGCS|GEOGCRS|EPSG:4326$)", re.IGNORECASE)
_SHEAR = 1e-9


def read_transform(fields: Sequence[str]) -> tuple[float, ...] | None:
    """Return (a, b, c, d, e, f) from the fields of ``map info``.

    ENVI counts the reference pixel from 1 at the outer corner of the first pixel;
    ``rotation`` is in degrees, counter-clockwise.

    Raises
    ------
    ValueError
        Fields that should be numbers are not, or a pixel has no size.
    """
    if len(fields) < 7:
        raise ValueError(f"map info has {len(fields)} fields; wanted at least 7")
    try:
        column, row, east, north, width, height = map(float, fields[1:7])
        angle = math.radians(float(_setting(fields, "rotation") or 0.0))
    except ValueError:
        raise ValueError(
            f"map info is {list(fields)}; wanted numbers from the second to the "
            "seventh field"
        ) from None
    cos, sin = math.cos(angle), math.sin(angle)
    a, b, d, e = cos * width, sin * width, sin * height, -cos * height
    column, row = column - 1, row - 1
    return affine(
        (a, b, east - a * column - b * row, d, e, north - d * column - e * row)
    )


def read_crs(fields: Sequence[str]) -> str | None:
    """Return the EPSG code of WGS-84, NAD-27 and NAD-83 UTM, and of WGS-84 lat/lon."""
    words = [field.strip().lower() for field in fields]
    if words[0].startswith("geographic") and "wgs-84" in words:
        return "EPSG:4326"
    datum = next((word for word in words if word in _DATUMS), None)
    if words[0] != "utm" or datum is None or not words[7].isdigit():
        return None
    base = _DATUMS[datum].get("south" if "south" in words else "north")
    return None if base is None else f"EPSG:{base + int(words[7])}"


def write_map_info(transform: Sequence[float], crs: str | None) -> str:
    """Return the text of ``map info``, without braces.

    Raises
    ------
    ValueError
        The transform mirrors or shears, which ENVI cannot say.
    """
    a, b, c, d, e, f = transform
    width, height, angle = math.hypot(a, b), math.hypot(d, e), math.atan2(b, a)
    cos, sin = math.cos(angle), math.sin(angle)
    off = max(abs(d - sin * height), abs(e + cos * height))
    if off > _SHEAR * height:
        raise ValueError(
            f"transform is {tuple(transform)}, which mirrors or shears the map; an "
            "ENVI header cannot say so: use save_geotiff"
        )
    numbers = ["1", "1", *(repr(float(v)) for v in (c, f, width, height))]
    name, tail = _projection(crs)
    turned = [f"rotation={math.degrees(angle)!r}"] if angle else []
    return ", ".join([name, *numbers, *tail, *turned])


def in_map_info(crs: str) -> bool:
    """Whether ``map info`` says all of a coordinate reference system."""
    return crs == "EPSG:4326" or _UTM_CODE.fullmatch(crs) is not None


def _projection(crs: str | None) -> tuple[str, list[str]]:
    if crs is None:
        return "Arbitrary", ["units=Meters"]
    if _GEOGRAPHIC.match(crs):
        return "Geographic Lat/Lon", ["WGS-84", "units=Degrees"]
    code, name = _UTM_CODE.fullmatch(crs), _UTM_NAME.search(crs)
    if code is not None:
        zone, south = int(code[2]), code[1] == "7"
    elif name is not None:
        zone, south = int(name[1]), name[2].upper() == "S"
    else:
        return "Arbitrary", ["units=Meters"]
    side = "South" if south else "North"
    return "UTM", [str(zone), side, "WGS-84", "units=Meters"]


def _setting(fields: Sequence[str], name: str) -> str | None:
    for field in fields[7:]:
        key, equals, value = field.partition("=")
        if equals and key.strip().lower() == name:
            return value.strip()
    return None
