"""What a figure's SVG shows, read back: its texts, and the points of its lines in the plot's own numbers."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SVG = "{http://www.w3.org/2000/svg}"
_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
Points = NDArray[np.float64]


class Drawn:
    """A parsed SVG."""

    def __init__(self, path: Path) -> None:
        self.root = ET.parse(path).getroot()

    @property
    def texts(self) -> list[str]:
        return ["".join(node.itertext()) for node in self.root.iter(f"{_SVG}text")]

    @property
    def size_mm(self) -> tuple[float, float]:
        width, height = (float(self.root.attrib[side].removesuffix("pt")) * 25.4 / 72 for side in ("width", "height"))
        return width, height

    def group(self, gid: str) -> ET.Element:
        found = [node for node in self.root.iter(f"{_SVG}g") if node.get("id") == gid]
        assert len(found) == 1, gid
        return found[0]

    def has(self, gid: str) -> bool:
        return any(node.get("id") == gid for node in self.root.iter(f"{_SVG}g"))

    def markers(self, gid: str) -> Points:
        """(N, 2) places of a line's markers in points of the page."""
        return np.array(
            [(float(use.attrib["x"]), float(use.attrib["y"])) for use in self.group(gid).iter(f"{_SVG}use")]
        )

    def ticks(self, axes: int, axis: str) -> tuple[Points, Points]:
        """Places on the page and numbers of the ticks of an axis `x` or `y`."""
        places, numbers = [], []
        for tick in self.axis(axes, axis):
            texts = ["".join(node.itertext()) for node in tick.iter(f"{_SVG}text")]
            if texts:
                places += [float(use.attrib[axis]) for use in tick.iter(f"{_SVG}use")][:1]
                numbers.append(float(texts[0].replace("−", "-")))
        return np.array(places), np.array(numbers)

    def axis(self, axes: int, axis: str) -> list[ET.Element]:
        """The ticks of an axis, in order."""
        parts = self.group(f"axes_{axes}").iter(f"{_SVG}g")
        wanted = [
            node
            for node in parts
            if re.fullmatch(
                rf"matplotlib\.axis_{'1357'[axes - 1] if axis == 'x' else '2468'[axes - 1]}", node.get("id", "")
            )
        ]
        assert len(wanted) == 1
        return [node for node in wanted[0] if re.match(rf"{axis}tick_", node.get("id", ""))]

    def values(self, gid: str, axes: int, axis: str = "y") -> Points:
        """The numbers at which markers stand, read off the axis."""
        places, numbers = self.ticks(axes, axis)
        slope, start = np.polyfit(places, numbers, 1)
        return self.markers(gid)[:, "xy".index(axis)] * slope + start

    def outlines(self, colour: str) -> list[tuple[Points, Points]]:
        """Of every line of a colour its (N, 2) points and the (2, 2) corners of its plot, on the page."""
        frames = {node.get("id"): node[0].attrib for node in self.root.iter(f"{_SVG}clipPath")}
        lines = []
        for node in self.root.iter(f"{_SVG}path"):
            if f"stroke: {colour}" in node.get("style", "") and "clip-path" in node.attrib:
                frame = frames[node.attrib["clip-path"].removeprefix("url(#").removesuffix(")")]
                x, y, width, height = (float(frame[name]) for name in ("x", "y", "width", "height"))
                points = np.array(re.findall(_NUMBER, node.attrib["d"]), float).reshape(-1, 2)
                lines.append((points, np.array([[x, y], [x + width, y + height]])))
        return lines

    @property
    def images(self) -> int:
        return len(list(self.root.iter(f"{_SVG}image")))
