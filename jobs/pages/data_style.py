"""What the page about prepared data adds to the style that all pages share."""

__all__ = ["STYLE"]

STYLE = """
:root { --held: #9bbbe6; --limit: #b3261e; --good: #2e7d4f; }
@media (prefers-color-scheme: dark) { :root { --held: #2f5688; --limit: #f2766d; --good: #6cc493; } }
html { scroll-behavior: smooth; scroll-padding-top: 12px; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: -12px 0 22px; font-size: 13.5px; }
a { color: var(--mark); text-decoration: none; }
a:hover { text-decoration: underline; }
section > h2 + p.note { max-width: 112ch; }
h1 + .lead { margin-bottom: 20px; }
code, pre { font: 12px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 460px; overflow-y: auto; margin: 10px 0 0; }
summary { cursor: pointer; color: var(--soft); font-size: 13.5px; }
details { margin-top: 12px; }
tr.total th, tr.total td { border-top: 2px solid var(--line); border-bottom: 0; font-weight: 650; color: var(--ink); }
td.text { text-align: left; white-space: normal; color: var(--soft); overflow-wrap: anywhere; }
.bad, .card.bad strong { color: var(--limit); }
.card.good strong { color: var(--good); }
.key.train { background: var(--mark); }
.key.held { background: var(--held); }
.key.refused { background: var(--other); }
svg .train { fill: var(--mark); } svg .held { fill: var(--held); } svg .refused { fill: var(--other); }
svg .limit { stroke: var(--limit); stroke-dasharray: 5 4; }
svg text.limit { stroke: none; fill: var(--limit); font-size: 12px; }
.wide svg { margin: 6px 0 10px; }
.cards { grid-template-columns: repeat(auto-fit, minmax(min(240px, 100%), 1fr)); }
@media (max-width: 620px) { .cards { grid-template-columns: 1fr 1fr; } }
@media (min-width: 1000px) { .budget { grid-column: span 2; } .budget.alone { grid-column: 1 / -1; } }
.left { display: block; text-align: left; }
.reasons th[scope=row] { max-width: 200px; overflow-wrap: anywhere; }
.samples { columns: 2 480px; column-gap: 14px; margin-top: 14px; }
.sample { break-inside: avoid; margin-bottom: 14px; }
.sample header { display: flex; flex-wrap: wrap; gap: 4px 8px; align-items: baseline; margin-bottom: 10px; }
.sample header strong { font-size: 14px; overflow-wrap: anywhere; }
.sample header small { color: var(--soft); font-size: 12.5px; margin-left: auto; }
.tag { font-size: 11.5px; border: 1px solid var(--line); border-radius: 20px; padding: 0 8px; color: var(--soft); }
.tag.cut { color: var(--limit); border-color: currentColor; }
.turn, .response { font-size: 13.5px; padding: 7px 0 7px 12px; border-left: 3px solid var(--line); margin-bottom: 6px; }
.turn { border-color: var(--chance); }
.turn.system { color: var(--soft); font-size: 12.5px; }
.turn.dropped { opacity: 0.5; }
.who { display: flex; gap: 8px; font-size: 12px; color: var(--soft); margin-bottom: 2px; }
.who b { color: var(--ink); font-weight: 650; }
.response.best { border-color: var(--mark); }
.response.best b { color: var(--mark); }
.said { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 190px; overflow-y: auto; }
.pictures { display: flex; flex-wrap: wrap; gap: 8px; margin: 4px 0; }
.pictures img, .gone { border-radius: 6px; }
.pictures img { background: var(--line); }
.gone { border: 1px dashed var(--chance); padding: 6px 10px; color: var(--soft); font-size: 12px; }
.pictured .said { max-height: none; }
"""
