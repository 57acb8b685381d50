"""Draws the pictures of docs/topologies.rst: ``python docs/pictures.py``. Only the standard library is needed."""
import pathlib
from xml.sax.saxutils import escape

FOLDER = pathlib.Path(__file__).resolve().parent / "pictures"

WIDTH, HEIGHT = 120, 40

STYLES = {"web": "#dbeafe", "worker": "#dcfce7", "redis": "#fee2e2", "sentinel": "#fef9c3", "memory": "#ede9fe"}


class Picture:
    """Boxes and arrows. ``boxes``: {name: (column, row, kind, text)}; ``arrows``: [(from, to, is dashed)]."""

    def __init__(self, about, boxes, arrows):
        self.about, self.boxes, self.arrows = about, boxes, arrows

    def _middle(self, name):
        column, row, *_ = self.boxes[name]
        return column * 190 + 10 + WIDTH / 2, row * 70 + 10 + HEIGHT / 2

    def _arrow(self, start, end, is_dashed):
        (x1, y1), (x2, y2) = self._middle(start), self._middle(end)
        if x1 == x2:
            y1, y2 = (y1 + HEIGHT / 2, y2 - HEIGHT / 2) if y1 < y2 else (y1 - HEIGHT / 2, y2 + HEIGHT / 2)
        else:
            x1, x2 = (x1 + WIDTH / 2, x2 - WIDTH / 2) if x1 < x2 else (x1 - WIDTH / 2, x2 + WIDTH / 2)
        dashes = ' stroke-dasharray="5 4"' if is_dashed else ""
        return (
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="#475569" stroke-width="1.5"'
            f'{dashes} marker-end="url(#head)" marker-start="url(#head)"/>'
        )

    def _box(self, column, row, kind, text):
        x, y = column * 190 + 10, row * 70 + 10
        return (
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{STYLES[kind]}" stroke="#475569"/>'
            f'<text x="{x + WIDTH / 2:g}" y="{y + HEIGHT / 2 + 4:g}" text-anchor="middle">{escape(text)}</text>'
        )

    def svg(self):
        width = max(column for column, *_ in self.boxes.values()) * 190 + WIDTH + 20
        height = max(row for _, row, *_ in self.boxes.values()) * 70 + HEIGHT + 20
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'role="img" font-family="sans-serif" font-size="13">',
            f"<title>{escape(self.about)}</title>",
            '<rect width="100%" height="100%" fill="white"/>',
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="#475569"/></marker></defs>',
        ]
        lines += [self._arrow(*arrow) for arrow in self.arrows]
        lines += [self._box(*box) for box in self.boxes.values()]
        return "\n".join(lines + ["</svg>", ""])


def between(left, right, is_dashed=False):
    """Arrows from each of ``left`` to each of ``right``."""
    return [(start, end, is_dashed) for start in left for end in right]


WEB = {"d1": (0, 0, "web", "Daphne"), "d2": (0, 1, "web", "Daphne")}
WORKERS = {"w1": (2, 0, "worker", "worker"), "w2": (2, 1, "worker", "worker")}

PICTURES = {
    "one": Picture("Daphne and workers on one Redis", dict(
        WEB, **WORKERS, r=(1, 0.5, "redis", "Redis")
    ), between(["d1", "d2"], ["r"]) + between(["w1", "w2"], ["r"])),
    "shards": Picture("Daphne and workers on two shards", dict(
        WEB, **WORKERS, r1=(1, 0, "redis", "Redis, shard 1"), r2=(1, 1, "redis", "Redis, shard 2")
    ), between(["d1", "d2", "w1", "w2"], ["r1", "r2"])),
    "sentinel": Picture("Daphne and a worker ask Sentinels which server is the master", {
        "s": (0, 0.5, "sentinel", "3 Sentinels"), "d1": (1, 0, "web", "Daphne"), "w1": (1, 1, "worker", "worker"),
        "m": (2, 0, "redis", "master"), "p": (2, 1, "redis", "replica"),
    }, between(["s"], ["d1", "w1"], True) + between(["d1", "w1"], ["m"]) + [("m", "p", False)]),
    "cluster": Picture("Three masters of a Redis Cluster, a shard on each", dict(
        {"d1": (0, 0.5, "web", "Daphne"), "w1": (2, 0.5, "worker", "worker"), "w2": (2, 1.5, "worker", "worker"),
         "d2": (0, 1.5, "web", "Daphne")},
        m1=(1, 0, "redis", "master, shard 1"), m2=(1, 1, "redis", "master, shard 2"),
        m3=(1, 2, "redis", "master, shard 3"),
    ), between(["d1", "d2", "w1", "w2"], ["m1", "m2", "m3"])),
    "local": Picture("Requests stay on the machine, groups go through Redis", {
        "d1": (0, 0, "web", "Daphne"), "l1": (1, 0, "memory", "machine 1"), "w1": (2, 0, "worker", "worker"),
        "d2": (0, 2, "web", "Daphne"), "l2": (1, 2, "memory", "machine 2"), "w2": (2, 2, "worker", "worker"),
        "r": (1, 1, "redis", "Redis"),
    }, [("d1", "l1", False), ("w1", "l1", False), ("d2", "l2", False), ("w2", "l2", False)]
        + between(["d1", "w1", "d2", "w2"], ["r"], True)),
}

if __name__ == "__main__":
    for name, picture in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(picture.svg(), encoding="utf-8")
