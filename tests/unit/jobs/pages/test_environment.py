"""The room of pages as a whole: HTML stands in templates only, and only our own drawings go into it unescaped."""

import ast
import re
from pathlib import Path

import pytest
from html_pages import PageReader
from jinja2 import Environment, UndefinedError

from jobs.pages import environment
from jobs.pages.formats import byte_size, compact, count, p_value, score, share, shortened, signed
from jobs.pages.plots import style
from jobs.pages.plots.layouts import new_plane
from jobs.pages.plots.svg import Svg, tip, to_svg

ROOT = Path(__file__).parents[4]
TEMPLATES = ROOT / "jobs/pages/templates"
EVIL = '</svg><script>alert("1")</script>\x0b&\'$x^$'
_TAG = re.compile(
    r"</?(!doctype|html|head|body|main|section|div|span|p|h[1-6]|table|t[rhd]|[ou]l|li|img|svg|a|i|b)\b", re.I
)


_TOKENS = re.compile("</?img>")
"""InternVL's special tokens; an image of a page has attributes."""


def drawing(name: str = "toy", label: str = "pairs") -> Svg:
    with style.plot_style():
        figure, axes = new_plane((0, 4), (0, 2))
        (dot,) = axes.plot([1], [1], "o", color=style.MARK)
        tip(dot, f"one {label}")
        axes.set_ylabel(label)
        return to_svg(figure, name)


def product_files() -> list[Path]:
    packages = ("data_pipeline", "rm_core", "cluster", "jobs")
    return sorted(file for package in packages for file in (ROOT / package).rglob("*.py"))


def docstrings(tree: ast.Module) -> set[int]:
    """The places of strings that stand alone: docstrings of modules, classes, functions and fields."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_no_python_file_writes_html() -> None:
    found = []
    for file in product_files():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts = docstrings(tree)
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in texts else None
            if isinstance(text, str) and _TAG.search(_TOKENS.sub("", text)):
                found.append(f"{file.relative_to(ROOT)}: {text[:60]!r}")
    assert found == []


def test_only_this_room_draws() -> None:
    drawing_files = [file for file in product_files() if "matplotlib" in file.read_text(encoding="utf-8")]
    assert {file.relative_to(ROOT).parts[:2] for file in drawing_files} == {("jobs", "pages")}


def test_only_our_own_drawings_are_not_escaped() -> None:
    marked = [file for file in (ROOT / "jobs").rglob("*.py") if "Markup(" in file.read_text(encoding="utf-8")]
    assert [file.name for file in marked] == ["environment.py"]
    templates = {file.name: file.read_text(encoding="utf-8") for file in TEMPLATES.iterdir()}
    assert not [name for name, text in templates.items() if re.search(r"\|\s*safe\b|autoescape", text)]
    with pytest.raises(TypeError, match="str is no drawing"):
        environment._drawn("<svg></svg>")  # type: ignore[arg-type]


def test_a_name_that_a_template_does_not_get_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="is undefined"):
        environment.render("compare.html.j2", a="a", b="b")


def test_every_template_is_in_the_package() -> None:
    assert {file.suffix for file in TEMPLATES.iterdir()} == {".j2"}
    assert '"pages/templates/*.j2"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found: Environment = environment._environment()
    for name in found.list_templates():
        found.get_template(name)


def test_a_drawing_is_the_same_twice_and_stands_alone() -> None:
    first, second = drawing(), drawing()
    assert first == second
    page = PageReader(first.text)
    assert page.fetching == [] and page.tags[0] == "svg" and not {"style", "metadata"} & set(page.tags)
    assert not re.search(r"https?:|xmlns|font-family|url\((?!#)", first.text)
    assert 'aria-label="toy"' in first.text and "<title>one pairs</title>" in first.text
    assert "var(--mark)" in first.text and style.MARK not in first.text


def test_the_drawings_of_a_page_share_no_identifier() -> None:
    identifiers = [set(re.findall(r' id="([^"]+)"', drawing(name).text)) for name in ("one", "two")]
    assert identifiers[0] and identifiers[0].isdisjoint(identifiers[1])


def test_hostile_labels_stay_text_in_drawings() -> None:
    page = PageReader(drawing(EVIL, EVIL).text)
    assert "script" not in page.tags
    assert "".join(page.text).count(EVIL.replace("\x0b", " ")) == 2  # the label, and the title of the dot


def test_formats() -> None:
    assert [compact(value) for value in (999, 9_999, 12_345, 1_234_567)] == ["999", "9,999", "12.3 k", "1.23 M"]
    assert [count(value) for value in (7e9, 512_000, 3e21, 4_000)] == ["7 B", "512 k", "3e+21", "4,000"]
    assert [byte_size(value) for value in (12, 1_234_567)] == ["12 B", "1.23 MB"]
    assert (share(1, 3), share(1, 0)) == ("33.3 %", "–")
    assert (p_value(0.0305), p_value(0.0001)) == ("0.03", "< 0.001")
    assert (score(0.91266), score(1234.5)) == ("0.9127", "1,234")
    assert (signed(0.02), signed(-1, 1)) == ("+0.020", "-1.0")
    assert (shortened("abcdef", 4), shortened("abcd", 4)) == ("abc…", "abcd")
