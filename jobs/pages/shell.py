"""The shell of a page for people: one HTML file with its style inside and nothing fetched from anywhere.

The evaluation report and the page about prepared data are made of these parts, so they look alike.
"""

from html import escape

__all__ = ["card", "figure", "page"]

_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f6f3; --card: #ffffff; --ink: #1c1c1a; --soft: #5e5d58; --line: #e2e1db; --chance: #8f8e87;
  --mark: #2a6fc9; --other: #d9662b; --band: #2a6fc926;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #141413; --card: #1e1e1c; --ink: #f0efea; --soft: #a9a8a1; --line: #35342f; --chance: #85847d;
    --mark: #5b9cf0; --other: #ee8a52; --band: #5b9cf033;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1180px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 0 0 2px; }
p { margin: 0; }
.lead, .note, .card small { color: var(--soft); }
.lead { margin-bottom: 24px; }
.note { font-size: 13px; margin-bottom: 10px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(142px, 1fr)); gap: 14px; margin-bottom: 14px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(430px, 100%), 1fr)); gap: 14px; }
.figures.small { grid-template-columns: repeat(auto-fit, minmax(min(330px, 100%), 1fr)); margin-top: 14px; }
.stack { display: flex; flex-direction: column; gap: 14px; min-width: 0; }
.stack > section:last-child { flex: 1; }
.card, section {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; min-width: 0;
}
.card span { display: block; font-size: 12.5px; color: var(--soft); }
.card { padding: 14px 12px 14px 15px; }
.card strong { display: block; font-size: 27px; line-height: 1.3; font-weight: 650; }
.card small { display: block; font-size: 12px; }
.card.first strong { color: var(--mark); }
.wide { margin-top: 14px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 8px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
thead th { white-space: normal; vertical-align: bottom; line-height: 1.3; }
th:last-child, td:last-child { padding-right: 0; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody th { color: var(--ink); font-weight: 500; white-space: normal; overflow-wrap: break-word; max-width: 280px; }
tr.block th { color: var(--soft); font-size: 12px; padding-top: 14px; }
.facts th, .facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
.facts th { color: var(--soft); width: 220px; }
.key { display: inline-block; width: 9px; height: 9px; border-radius: 50%; background: var(--mark); margin: 0 5px 0 0; }
.key.other { background: var(--other); }
.key.ring { background: none; border: 2px solid var(--other); }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
svg .mark { fill: var(--mark); }
svg .other { fill: var(--other); }
svg .bar:hover, svg circle:hover { opacity: 0.75; }
svg .whisker { stroke: var(--mark); stroke-width: 2.5; stroke-linecap: round; }
svg .error { stroke: var(--ink); stroke-width: 1.5; }
svg .ring { fill: var(--card); stroke: var(--other); stroke-width: 2; }
svg .line { fill: none; stroke: var(--mark); stroke-width: 2; stroke-linejoin: round; }
svg .band { fill: var(--band); }
svg .grid { stroke: var(--line); }
svg .base { stroke: var(--chance); }
svg .chance { fill: none; stroke: var(--chance); stroke-dasharray: 4 4; }
svg text { fill: var(--ink); font-size: 13px; }
svg .tick, svg .axis { fill: var(--soft); font-size: 12px; }
svg .value { font-variant-numeric: tabular-nums; font-weight: 600; }
@media print { body { background: none; } .card, section { break-inside: avoid; } }
"""


def page(title: str, body: str, *, style: str = "") -> str:
    """A whole document; `title` is text, `body` is HTML, `style` is CSS that one kind of page adds."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def card(name: str, value: str, note: str, style: str = "") -> str:
    """One headline number; all three are HTML."""
    return f'<div class="card {style}"><span>{name}</span><strong>{value}</strong><small>{note}</small></div>\n'


def figure(name: str, note: str, drawing: str) -> str:
    """A drawing under its name and a line that says how to read it; all three are HTML."""
    return f'<section><h2>{name}</h2><p class="note">{note}</p>{drawing}</section>\n'
