"""The image of opt-outs: for each subject, tenant, purpose and channel the last row about them
holds, however rows arrive."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.optout import image as module
from callguard.optout.events import OptOutEvent
from callguard.optout.image import OptOutImage
from callguard.optout.scope import EVERYTHING, cells, scopes, stored_cells
from callguard.optout.standing import Change, change, wishes
from callguard.policy.facts import CHANNELS, PURPOSES, OptOut

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ANN, BOB, MAIL, SHORT = "+442079460000", "+442079464093", "ann@example.org", "GB:60123"
SUBJECTS = (ANN, BOB, MAIL, SHORT)
SCOPES = ("acme", "other", None)
Cell = tuple[str, str]


@pytest.fixture(scope="module", autouse=True)
def _few_arrays() -> Iterator[None]:
    """So that subjects meet in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SHARDS", 3)
        yield


def event(
    standing: bool = True,
    *,
    subject: str = ANN,
    tenant: str | None = "acme",
    purposes: frozenset[str] = frozenset(),
    channels: frozenset[str] = frozenset(),
    number: int = 0,
    way: str = "cli",
) -> OptOutEvent:
    at = NOON + timedelta(seconds=number)
    return OptOutEvent(subject, tenant, standing, way, "test", at, purposes, channels)


@dataclass(frozen=True)
class Arrival:
    """Rows 1.. of the table; which of them this process wrote, and how they come in."""

    rows: list[OptOutEvent]
    own: list[int]
    pages: list[int]
    mix: list[bool]


events = st.builds(
    event,
    st.sampled_from((True, True, False)),
    subject=st.sampled_from(SUBJECTS),
    tenant=st.sampled_from(SCOPES),
    purposes=st.frozensets(st.sampled_from(PURPOSES), max_size=3),
    channels=st.frozensets(st.sampled_from(CHANNELS), max_size=2),
    number=st.integers(0, 9),
    way=st.sampled_from(("cli", "api")),
)


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    rows = draw(st.lists(events, min_size=1, max_size=12))
    numbers = range(1, len(rows) + 1)
    own = draw(st.lists(st.sampled_from(numbers), unique=True))  # any order: tasks wake as they do
    pages = draw(st.lists(st.integers(1, 4), min_size=len(rows), max_size=len(rows)))
    mix = draw(st.lists(st.booleans(), min_size=3 * len(rows), max_size=3 * len(rows)))
    return Arrival(rows, own, pages, mix)


def speaks_of(said: OptOutEvent, cell: Cell) -> bool:
    purpose, channel = cell
    return (not said.purposes or purpose in said.purposes) and (
        not said.channels or channel in said.channels
    )


def model(
    rows: list[OptOutEvent], known: Iterable[int], subject: str, scope: str | None
) -> dict[Cell, OptOutEvent]:
    """For each purpose and channel the wish that stands, told in the plainest way there is."""
    standing: dict[Cell, OptOutEvent] = {}
    for number in sorted(known):
        said = rows[number - 1]
        if (said.subject, said.tenant) != (subject, scope):
            continue
        for cell in product(PURPOSES, CHANNELS):
            if speaks_of(said, cell):
                standing.pop(cell, None)
                if said.standing:
                    standing[cell] = said
    return standing


def as_cells(found: Iterable[OptOut], scope: str | None) -> dict[Cell, OptOut]:
    """What the image says, with each cell told of once at most."""
    told: dict[Cell, OptOut] = {}
    for wish in found:
        for purpose, channel in product(PURPOSES, CHANNELS):
            if wish.tenant == scope and wish.covers(purpose, channel):
                assert (purpose, channel) not in told
                told[purpose, channel] = wish
    return told


def check(image: OptOutImage, rows: list[OptOutEvent], known: set[int]) -> None:
    for subject in SUBJECTS:
        for tenant in ("acme", "other", "third"):
            found = image.of(subject, tenant)
            assert {wish.tenant for wish in found} <= {tenant, None}
            number = module._number(subject)
            if number is not None:
                assert list(image.of_many([number], tenant)) == [found]
            for scope in (tenant, None):
                wanted = model(rows, known, subject, scope)
                told = as_cells(found, scope)
                assert told.keys() == wanted.keys()
                for cell, wish in told.items():
                    assert (wish.since, wish.way) == (wanted[cell].at, wanted[cell].way)
    pairs = [
        (subject, scope)
        for subject, scope in product(SUBJECTS, SCOPES)
        if model(rows, known, subject, scope)
    ]
    assert image.count() == len(pairs)
    for tenant in ("acme", "third"):
        bound = {int(s[1:]) for s, scope in pairs if scope in (tenant, None) and s[0] == "+"}
        assert image.numbers_against(tenant).tolist() == sorted(bound)


def page_of(rows: list[OptOutEvent], start: int, end: int) -> list[Change]:
    return [change(n, row) for n, row in enumerate(rows, 1) if start < n <= end]


@given(arrivals())
def test_at_every_moment_the_last_row_that_arrived_is_what_holds(arrival: Arrival) -> None:
    image = OptOutImage()
    known: set[int] = set()
    own, pages = list(arrival.own), list(arrival.pages)
    for from_own in [*arrival.mix, *[False] * len(arrival.rows)]:
        if from_own and own:
            number = own.pop()
            image.apply(number, arrival.rows[number - 1])
            known.add(number)
        elif image.read_up_to < len(arrival.rows):
            start = image.read_up_to
            page = page_of(arrival.rows, start, start + pages.pop())
            image.follow(page)
            known.update(number for number, *_ in page)
        check(image, arrival.rows, known)
    assert image.read_up_to == len(arrival.rows)
    assert known == set(range(1, len(arrival.rows) + 1))


@given(arrivals())
def test_any_order_of_arrival_gives_the_same_image(arrival: Arrival) -> None:
    """The very same values, for a verdict is withdrawn where they differ."""
    rows = arrival.rows
    followed, mixed, loaded = OptOutImage(), OptOutImage(), OptOutImage()
    followed.follow(page_of(rows, 0, len(rows)))
    for number in arrival.own:
        mixed.apply(number, rows[number - 1])
    for number in set(range(1, len(rows) + 1)).difference(arrival.own):
        mixed.apply(number, rows[number - 1])
    loaded.load([page_of(rows, 0, 3), page_of(rows, 3, len(rows)), []])
    for subject, tenant in product(SUBJECTS, ("acme", "other")):
        told = followed.of(subject, tenant)
        assert told == mixed.of(subject, tenant) == loaded.of(subject, tenant)
        for scope in (tenant, None):
            assert followed.cells(subject, scope) == mixed.cells(subject, scope)
    assert followed.count() == mixed.count() == loaded.count()
    assert loaded.read_up_to == len(rows)


@given(st.lists(events.filter(lambda said: said.standing), max_size=8))
def test_whatever_any_opt_out_covered_is_covered_and_no_more(rows: list[OptOutEvent]) -> None:
    image = OptOutImage()
    for number, said in enumerate(rows, 1):
        image.apply(number, said)
    for subject in SUBJECTS:
        covered = {
            cell
            for said in rows
            for cell in product(PURPOSES, CHANNELS)
            if said.subject == subject and said.tenant in ("acme", None) and speaks_of(said, cell)
        }
        found = image.of(subject, "acme")
        for purpose, channel in product(PURPOSES, CHANNELS):
            told = any(wish.covers(purpose, channel) for wish in found)
            assert told == ((purpose, channel) in covered)


@given(st.lists(events, max_size=10))
def test_what_people_are_told_is_what_the_gate_obeys(rows: list[OptOutEvent]) -> None:
    numbered = list(enumerate(rows, 1))
    told = wishes(numbered)
    for subject, scope in product(SUBJECTS, SCOPES):
        mine = [w.event for w in told if (w.event.subject, w.event.tenant) == (subject, scope)]
        covered = {
            cell for said in mine for cell in product(PURPOSES, CHANNELS) if speaks_of(said, cell)
        }
        assert covered == model(rows, range(1, len(rows) + 1), subject, scope).keys()


@given(st.integers(0, EVERYTHING))
def test_scopes_cover_their_cells_each_once(covered: int) -> None:
    found = [cells(*scope) for scope in scopes(covered)]
    assert sum(found) == covered
    for one in found:
        assert covered & one == one


def test_a_scope_that_cannot_be_read_is_everything() -> None:
    assert stored_cells("[]", "[]") == EVERYTHING
    assert stored_cells("{", "null") == EVERYTHING
    assert stored_cells('["marketing"]', '["sms"]') == cells(("marketing",), ("sms",)) > 0
    assert stored_cells('["fundraising"]', "[]") == 0


def test_a_lot_is_sorted_in_among_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it says more of subjects that are there, and again and again of some."""
    monkeypatch.setattr(module, "_LOT", 50)
    rows = [
        event(n % 7 != 0, subject=f"+4420{n * 37 % 97:08d}", tenant=SCOPES[n % 3], number=n)
        for n in range(1, 400)
    ]
    loaded, followed = OptOutImage(), OptOutImage()
    loaded.load(page_of(rows, start, start + 20) for start in range(0, 400, 20))
    followed.follow(page_of(rows, 0, 400))
    for row in rows:
        assert loaded.of(row.subject, "acme") == followed.of(row.subject, "acme")
    assert loaded.count() == followed.count() > 100


def test_an_opt_out_of_this_process_outlives_an_older_page() -> None:
    image = OptOutImage()
    page = page_of([event(), event(standing=False)], 0, 2)  # read before the next was written
    image.apply(3, event())
    image.follow(page)
    assert len(image.of(ANN, "acme")) == 1
    assert image.read_up_to == 2
    image.follow([change(3, event())])
    assert len(image.of(ANN, "acme")) == 1


def test_an_own_event_does_not_hide_those_of_others_before_it() -> None:
    image = OptOutImage()
    image.apply(7, event())
    assert image.read_up_to == 0
    image.follow([change(6, event(subject=BOB)), change(7, event())])
    assert image.of(BOB, "acme") != ()


def test_a_wish_against_everyone_binds_each_tenant_and_is_lifted_only_as_such() -> None:
    image = OptOutImage()
    image.apply(1, event(tenant=None))
    image.apply(2, event(standing=False, tenant="acme"))
    assert [wish.tenant for wish in image.of(ANN, "acme")] == [None]
    image.apply(3, event(standing=False, tenant=None))
    assert image.of(ANN, "acme") == ()
    assert image.count() == 0


@given(arrivals(), st.lists(st.sampled_from([*SUBJECTS, "+1", "+442079460003"]), max_size=8))
def test_many_are_told_of_as_each_is(arrival: Arrival, subjects: list[str]) -> None:
    """Whatever was read and whatever is ahead of that; also in no order, twice, or of no wish."""
    image = OptOutImage()
    image.load([page_of(arrival.rows, 0, arrival.pages[0])])
    for number in arrival.own:
        image.apply(number, arrival.rows[number - 1])
    numbers = [int(subject[1:]) for subject in subjects if subject[0] == "+"]
    for tenant in ("acme", "other", "third"):
        told = list(image.of_many(numbers, tenant))
        assert told == [image.of(f"+{number}", tenant) for number in numbers]


def test_a_tenant_whose_first_wish_was_not_yet_read_has_it_among_the_numbers() -> None:
    image = OptOutImage()
    image.follow([change(1, event(subject=BOB, tenant="other"))])
    image.apply(2, event(tenant="new"))
    assert image.numbers_against("new").tolist() == [int(ANN[1:])]
    assert image.numbers_against("other").tolist() == [int(BOB[1:])]
    assert [len(wishes) for wishes in image.of_many([int(ANN[1:]), int(BOB[1:])], "new")] == [1, 0]


def test_who_never_said_anything_has_no_wish() -> None:
    image = OptOutImage()
    image.apply(1, event())
    assert image.of(BOB, "acme") == ()
    assert image.of(ANN, "other") == ()


@pytest.mark.parametrize(
    "subject", ["", "+", "+0", "+4_4", "+٤٤", "+" + "9" * 40, "GB:999", "+44 2"]
)
def test_a_subject_of_any_shape_is_itself_alone(subject: str) -> None:
    image = OptOutImage()
    assert image.of(subject, "acme") == ()
    image.follow([change(1, event(subject=subject)), change(2, event(subject="+44"))])
    assert len(image.of(subject, "acme")) == 1
    image.follow([change(3, event(standing=False, subject=subject))])
    assert image.of(subject, "acme") == ()
    assert len(image.of("+44", "acme")) == 1


def test_the_numbers_are_gathered_while_others_come_in() -> None:
    image = OptOutImage()
    image.follow(page_of([event(subject=f"+4420{n:08d}") for n in range(500)], 0, 500))
    stop = threading.Event()
    found: list[int] = []

    def gather() -> None:
        while not stop.is_set():
            found.append(len(image.numbers_against("acme")))

    gathering = threading.Thread(target=gather)
    gathering.start()
    try:
        for n in range(501, 3_000):
            image.follow([change(n, event(subject=f"+4420{n:08d}"))])
    finally:
        stop.set()
        gathering.join()
    assert found
    assert found == sorted(found)
    assert len(image.numbers_against("acme")) == 2_999


def test_a_country_fits() -> None:
    """Some fifty bytes a wish, spare room included."""
    image = OptOutImage()
    said = event()
    _, _, tenant, standing, covered, way, at = change(1, said)
    for start in range(0, 100_000, 10_000):
        image.follow(
            [
                (n + 1, f"+4420{n * 7_919 % 100_000_000:08d}", tenant, standing, covered, way, at)
                for n in range(start, start + 10_000)
            ]
        )
    held = sum(
        column.buffer_info()[1] * column.itemsize
        for shard in image._shards
        for column in (shard.subjects, shard.words, shard.moments)
    )
    assert image.count() == 100_000
    assert held <= 24 * 100_000
