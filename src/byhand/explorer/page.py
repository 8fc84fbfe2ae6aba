"""The page as one piece of HTML, for a notebook's frame and for a report: nothing is fetched from anywhere."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


@cache
def built(name: str) -> str:
    """A file of the built page."""
    return files("byhand.explorer").joinpath("static", name).read_text(encoding="utf-8")


def page(title: str, setting: dict[str, Any], inside: str = "") -> str:
    """The whole page. setting: what it is told at its beginning, see web/src/main.tsx; inside: what stands in its
    place without JavaScript.
    """
    script = built("app.js").replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escaped(title)}</title>
<style>{built("app.css")}</style>
</head>
<body>
<div id="byhand">{inside}</div>
<script type="application/json" id="byhand-setting">{for_script(setting)}</script>
<script type="module">{script}</script>
<!--
{built("licences.txt").replace("--", "- -")}-->
</body>
</html>
"""


def for_script(data: Any) -> str:
    """JSON that can stand in a script element: no sign in it can end the element."""
    return (
        json.dumps(data, allow_nan=False)
        .replace("<", "\\u003c")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
