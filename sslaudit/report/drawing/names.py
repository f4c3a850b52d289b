"""Names beside points, where they cover neither a point nor another name."""

from collections.abc import Sequence
from dataclasses import dataclass

from sslaudit.report.drawing.axes import Frame
from sslaudit.report.drawing.primitives import line, text
from sslaudit.report.drawing.text import SIZE, fit, told_apart, width

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Named:
    """A point with the name that it is to have."""

    x: float
    y: float
    name: str


_AROUND = tuple(
    (dx * reach, dy * reach + 5)
    for reach in (1, 1.7, 2.6, 3.8, 5.4, 7.4, 10, 13, 17)
    for dx, dy in ((10, 0), (-10, 0), (9, -10), (9, 10), (-9, -10), (-9, 10), (0, -14), (0, 14))
)
"""Where a name may stand, the nearest places first."""


def names_beside(points: Sequence[Named], taken: Sequence[Box], frame: Frame, room: float) -> list[str]:
    """The name of each point, with a line to it where it stands far off; none where there is no room."""
    boxes = [*taken, *((p.x - 6, p.y - 6, p.x + 6, p.y + 6) for p in points)]
    parts = []
    short = told_apart([point.name for point in points], room)
    for point in sorted(points, key=lambda p: (p.y, p.x, p.name)):
        across = width(fit(short[point.name], room))
        for dx, dy in _AROUND:
            left = point.x + (dx if dx > 0 else dx - across if dx < 0 else -across / 2)
            taking = (left - 1, point.y + dy - SIZE + 1, left + across + 1, point.y + dy + 3)
            if _free(taking, boxes, frame):
                break
        else:
            continue
        boxes.append(taking)
        if abs(dx) + abs(dy) > 40:
            parts.append(line(point.x, point.y, left if dx > 0 else left + across, point.y + dy - 4, "lead"))
        parts.append(text(left, point.y + dy, point.name, room=room, short=short[point.name]))
    return parts


def _free(wanted: Box, boxes: Sequence[Box], frame: Frame) -> bool:
    left, top, right, bottom = wanted
    if left < frame.left + 2 or right > frame.right or top < frame.top - 8 or bottom > frame.bottom - 1:
        return False
    return all(right <= a or left >= c or bottom <= b or top >= d for a, b, c, d in boxes)
