"""The style sheet, the script and the icon."""

import re

from tests.web.conftest import Room


async def test_what_the_page_names_is_kept_for_ever(room: Room) -> None:
    addresses = re.findall(r'"(/static/[^"]+)"', await room.text("/"))
    assert len(addresses) == 3
    for address in addresses:
        async with room.client.get(room.address + address) as answer:
            assert answer.status == 200
            assert "immutable" in answer.headers["Cache-Control"]


async def test_an_address_without_the_digest_is_asked_for_again(room: Room) -> None:
    path = room.address + "/static/callguard.js"
    async with room.client.get(path) as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        tag = answer.headers["ETag"]
    async with room.client.get(path, headers={"If-None-Match": tag}) as again:
        assert again.status == 304
    async with room.client.get(path, headers={"If-None-Match": '"old"'}) as anew:
        assert anew.status == 200


async def test_nothing_else_is_served(room: Room) -> None:
    for name in ("../app.py", "..%2fapp.py", "app.py", "%2e%2e/status.py", ""):
        async with room.client.get(f"{room.address}/static/{name}") as answer:
            assert answer.status == 404


async def test_the_style_sheet_asks_for_nothing_from_elsewhere(room: Room) -> None:
    for name in ("callguard.css", "callguard.js", "icon.svg"):
        text = await room.text(f"/static/{name}")
        assert "url(" not in text
        assert "https:" not in text
