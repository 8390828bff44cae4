"""HTML as text with Markdown's headings, by the standard library's parser: what a reader of the page would see."""

import re
from html.parser import HTMLParser

_SKIPPED = {"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "head", "nav"}
_BLOCKS = {
    "p", "div", "section", "article", "main", "header", "footer", "ul", "ol", "table", "blockquote", "pre", "form",
    "aside", "figure", "dl", "hr",
}  # fmt: skip
_LINES = {"br", "li", "tr", "dt", "dd", "option"}
_VOID = {"br", "hr", "img", "input", "meta", "link", "col", "area", "base", "embed", "source", "track", "wbr"}
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])", re.I
)
MAX_DEPTH = 500


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title = ""
        self._hidden: list[str] = []
        """The open elements from the outermost hidden one on; empty where text is shown."""
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "title":
            self._in_title = True
        if self._hidden:
            if tag not in _VOID and len(self._hidden) < MAX_DEPTH:
                self._hidden.append(tag)
            return
        hidden = "hidden" in given or given.get("aria-hidden") == "true" or _HIDDEN.search(given.get("style", ""))
        if (tag in _SKIPPED or hidden) and tag not in _VOID:
            self._hidden.append(tag)
        elif re.fullmatch(r"h[1-6]", tag):
            self.parts.append(f"\n\n{'#' * int(tag[1])} ")
        elif tag in _BLOCKS:
            self.parts.append("\n\n")
        elif tag in _LINES:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if self._hidden:
            # Elements that were never closed end with whatever encloses them.
            if tag in self._hidden:
                del self._hidden[len(self._hidden) - 1 - self._hidden[::-1].index(tag) :]
        elif tag in _BLOCKS or re.fullmatch(r"h[1-6]", tag):
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        if not self._hidden:
            self.parts.append(re.sub(r"\s+", " ", data))


def read_html(text: str) -> tuple[str, str]:
    """Title and text."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    lines = (line.strip() for line in "".join(reader.parts).splitlines())
    return " ".join(reader.title.split())[:300], re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
