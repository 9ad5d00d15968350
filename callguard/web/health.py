"""Whether the process lives, and whether it may take calls."""

from aiohttp import web

from callguard.web.reader import StatusError, StatusReader


async def alive(_request: web.Request) -> web.Response:
    """``GET /healthz``: an answer at all means that the event loop runs."""
    return web.json_response({"alive": True})


class Readiness:
    """``GET /readyz``: 200, or 503 with the reasons in words."""

    def __init__(self, reader: StatusReader) -> None:
        self._reader = reader

    async def show(self, _request: web.Request) -> web.Response:
        try:
            reasons = list((await self._reader.read()).not_ready)
        except StatusError as error:
            reasons = [f"the status cannot be read: {error}"]
        return web.json_response(
            {"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200
        )
