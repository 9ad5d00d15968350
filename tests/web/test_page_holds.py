"""The status page names the holds that stand, and says which should have been looked at."""

from dataclasses import replace
from datetime import timedelta

from callguard.retention.holds.told import HoldInShort, StandingHolds
from tests.web.conftest import Room
from tests.web.state import BUSY


async def test_the_page_names_the_holds_that_stand(room: Room) -> None:
    review = BUSY.at - timedelta(days=1)
    late = HoldInShort("C-17 <script>", "acme", review, overdue=True)
    other = HoldInShort("0199a0b0", "", None, overdue=False)
    holds = StandingHolds(1_202, 1, (late, other))
    room.source.now = replace(BUSY, holds=holds, alarms=holds.alarms)
    page = await room.text("/")
    assert "holds whose review is overdue: 1; see callguard hold list" in page
    told = page[page.index("Holds that stand") :]
    told = told[: told.index("</dd>")]
    assert "1,202" in told
    assert "<bdi>C-17 &lt;script&gt;</bdi> <bdi>acme</bdi>" in told
    assert told.count("Overdue") == 1
    assert "<bdi>0199a0b0</bdi>" in told
    assert "השהיות מחיקה בתוקף" in await room.text("/?lang=he")
