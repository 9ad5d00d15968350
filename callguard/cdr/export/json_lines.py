"""Call records as JSON Lines: an object a line, UTF-8. Pure."""

import json
from collections.abc import Iterable, Iterator, Sequence

from callguard.cdr.columns import Told, as_mapping

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_pieces(pages: Iterable[Sequence[Told]]) -> Iterator[bytes]:
    """The file, a page of records at a time."""
    for page in pages:
        if page:
            yield "".join(f"{_encode(as_mapping(record))}\n" for record in page).encode()
