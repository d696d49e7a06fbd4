"""The Jinja environment of all pages: it escapes every value that a template gets, except our own SVG plots."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from data_pipeline.shown import masked
from jobs.pages import formats
from jobs.pages.plots.svg import Svg

__all__ = ["render"]


def render(template: str, **values: object) -> str:
    """One page as text.

    Args:
        template: its file in ``templates``.
        values: what it shows; a name that the template uses and that is not given is an error.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("jobs.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.finalize = _shown
    found.filters["drawn"] = _drawn
    found.filters |= {name: getattr(formats, name) for name in formats.__all__}
    return found


def _shown(value: object) -> object:
    """A page shows no password of an address."""
    return masked(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _drawn(drawing: Svg) -> Markup:
    """The one place where text becomes HTML unescaped: a drawing that `to_svg` made."""
    if not isinstance(drawing, Svg):
        raise TypeError(f"{type(drawing).__name__} is no drawing: only what `to_svg` made goes into a page unescaped")
    return Markup(drawing.text)  # noqa: S704 - serialised from a tree of elements, which escapes all texts
