"""Lines that hold only a tag.

    {% if customer.vip %}
    Thank you for your loyalty!
    {% endif %}

must not leave two empty lines in a message. Jinja's `trim_blocks` would do that and also glue `{% endif %}` at the end of a line of
text to the next line; so only a line on which a tag (or comment) stands alone disappears, as in Mustache.
"""

from __future__ import annotations

import re

# Indentation and line end move inside the tag, where they mean nothing: lines and columns of all else stay as they are. A tag with
# a sign of its own ({%- or +%}) says itself what happens to the space around it.
_ALONE = re.compile(
    r"^([ \t]+)?(?:"
    r"\{%(?![-+])((?:[^%{]|%(?!\})|\{(?![{%#]))*?)(?<![-+])%\}"
    r"|\{#(?![-+])((?:[^#{]|#(?!\})|\{(?!#))*?)(?<![-+])#\}"
    r")[ \t]*\n",
    re.MULTILINE,
)
_RAW = re.compile(r"\{%[-+]?\s*raw\b")


def close_up(source: str) -> str:
    """Return the source with lines that hold only a tag made to leave no line; one with a `raw` block stays as it is."""
    if "\n" not in source or ("{%" not in source and "{#" not in source) or _RAW.search(source):
        return source
    return _ALONE.sub(_close, source)


def _close(match: re.Match[str]) -> str:
    indent, tag, comment = match.groups()
    if tag is None:
        return f"{{#{indent or ''}{comment}\n#}}"
    return f"{{%{indent or ''}{tag}\n%}}"
