"""The style sheet, the script and the icon: read once, cached by browsers until they change."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).parent / "static"

_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    content_type: str
    version: str


class Assets:
    """The files of one folder, by name. An address carries a digest of what it names."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._assets = {
            path.name: _Asset(
                path.read_bytes(), _TYPES[path.suffix], sha256(path.read_bytes()).hexdigest()[:16]
            )
            for path in sorted(folder.iterdir())
            if path.suffix in _TYPES
        }

    def address(self, name: str) -> str:
        """Where a browser finds the file as it is."""
        return f"/static/{name}?v={self._assets[name].version}"

    async def serve(self, request: web.Request) -> web.Response:
        """``GET /static/{name}``. Raises HTTPNotFound."""
        asset = self._assets.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        named = request.query.get("v") == asset.version
        headers = {"Cache-Control": _FOR_EVER if named else _ASK_AGAIN}
        tags = request.if_none_match or ()
        response = (
            web.Response(status=304, headers=headers)
            if any(tag.value == asset.version for tag in tags)
            else web.Response(
                body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers
            )
        )
        response.etag = asset.version
        return response
