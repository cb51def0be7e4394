"""HTML and SVG elements as text that is escaped by construction: only what `tag` made passes as it is."""

import html

_VOID = ("br", "meta", "line", "rect", "circle", "path", "polyline")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """Return an element; children that are no `Markup` are escaped, attributes that are None are left out.

    Underscores in attribute names stand for hyphens, a trailing one is dropped (`class_`).
    """
    pairs = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    opening = f"<{name}{''.join(pairs)}>"
    if name in _VOID and not children:
        return Markup(opening[:-1] + "/>")
    return Markup(f"{opening}{join(children)}</{name}>")


def join(parts: "list[str] | tuple[str, ...]") -> Markup:
    """Return parts one after the other, those that are no `Markup` escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def escape(text: str) -> Markup:
    """Return text that shows as itself; characters that would steer a terminal or turn the text around are shown."""
    visible = "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)
    return Markup(html.escape(visible, quote=True))


def _plain(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
