"""A hook of mkdocs for ``make docs``: what GitHub shows otherwise than Python-Markdown does."""

import re
import typing


def on_page_content(html: str, **_: typing.Any) -> str:
    """Show a bar in the code of a table's cell as a bar.

    In Markdown it stands behind a backslash, because a bare one would end the cell. GitHub takes
    the backslash away, Python-Markdown shows it.
    """
    return re.sub(
        r"<td>.*?</td>",
        lambda cell: re.sub(r"<code>[^<]*", lambda code: code[0].replace(r"\|", "|"), cell[0]),
        html,
        flags=re.DOTALL,
    )
