"""What a template asks for, as its author wrote it: `event.payload.name`."""

from __future__ import annotations

from jinja2 import nodes

Path = tuple[str, ...]


def path_of(node: nodes.Node) -> Path | None:
    """Return the name and the fixed keys after it; None when the value has no fixed place (a computed key, a call, a filter)."""
    keys: list[str] = []
    while True:
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
            node = node.node
        elif (
            isinstance(node, nodes.Getitem)
            and isinstance(node.arg, nodes.Const)
            and isinstance(node.arg.value, (str, int))
        ):
            keys.append(str(node.arg.value))
            node = node.node
        elif isinstance(node, nodes.Name):
            return (node.name, *reversed(keys))
        else:
            return None


def path_text(node: nodes.Node) -> str | None:
    """Return how the author spelled the place, shortened to its end; None when it is not a plain one."""
    path = path_of(node)
    if path is None:
        return None
    text = ".".join(path)
    return text if len(text) <= 80 else "…" + text[-79:]
