"""The description of an MLflow run as parts below headings, which are written at different times."""

import re

__all__ = ["ATTEMPTS", "GOING_ON", "with_part"]

ATTEMPTS = "Attempts"
GOING_ON = "How to go on"
_LAST = (ATTEMPTS, GOING_ON)  # they stand behind all results


def with_part(text: str, heading: str, part: str) -> str:
    """Markdown with `part` below ``## heading`` in place of what stood there; no heading: before the first."""
    first, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    parts = {"": first.strip()}
    for section in rest:
        title, _, body = section.partition("\n")
        parts[title.strip()] = body.strip()
    parts[heading] = part.strip()
    for title in _LAST:
        if title in parts:
            parts[title] = parts.pop(title)
    return "\n\n".join(f"## {title}\n\n{body}" if title else body for title, body in parts.items() if title or body)
