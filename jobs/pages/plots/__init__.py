"""All plots, drawn with Matplotlib: `style` and `ticks` give them one look, `svg` puts one into a page.

evaluation, comparison, data, ensemble  numbers -> Svg, inlined in a page
sweep_laws, sweep_study                 points -> Figure, as Svg in the page and as PNG beside it
run, ensemble                           numbers -> PNG, for MLflow

The same numbers give the same bytes. Matplotlib is imported when something is drawn, not before.
"""
