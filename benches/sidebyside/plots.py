"""Bar charts as SVG, written by hand: no library, no script, readable in the dark and in the light."""

from html import escape

COLOURS = {"Springhead": "#2f7d5b", "nginx": "#4878a8", "bare socket writer": "#999999", "iperf3": "#999999"}
OTHER = "#b08d57"
LEFT, RIGHT, BAR, GAP = 210, 110, 22, 10


def bars(title, unit, rows, bar=None):
    """Horizontal bars. `rows`: (name, median, least, most). `bar`: (value, what it is), a line that is not to be passed."""
    width, top = 760, 64
    height = top + len(rows) * (BAR + GAP) + 18
    most = max([row[3] for row in rows] + ([bar[0]] if bar else [])) * 1.02
    scale = (width - LEFT - RIGHT) / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="bold" fill="#222">{escape(title)}</text>',
        f'<text x="16" y="46" fill="#666">{escape(unit)}</text>',
    ]
    for number, (name, middle, least, largest) in enumerate(rows):
        y = top + number * (BAR + GAP)
        colour = next((COLOURS[known] for known in COLOURS if name.startswith(known)), OTHER)
        line = y + BAR / 2
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end" fill="#222">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{middle * scale:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<path d="M{LEFT + least * scale:.1f} {line} H{LEFT + largest * scale:.1f}" stroke="#222" stroke-width="1.5"/>',
            f'<text x="{LEFT + largest * scale + 8:.1f}" y="{y + 16}" fill="#222">{number_text(middle)}</text>',
        ]
    if bar:
        at = LEFT + bar[0] * scale
        parts += [
            f'<path d="M{at:.1f} {top - 6} V{height - 14}" stroke="#c0392b" stroke-dasharray="4 3"/>',
            f'<text x="{at:.1f}" y="{top - 10}" text-anchor="middle" fill="#c0392b">{escape(bar[1])}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def number_text(value):
    """Three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
