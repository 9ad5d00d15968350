"""The image of opt-outs: for each subject and scope the last row wins, however rows arrive."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from callguard.optout.events import OptOutEvent
from callguard.optout.image import OptOutImage

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ANN, BOB = "+442079460000", "+442079460001"
SCOPES = ("acme", "other", None)


def event(
    standing: bool = True,
    *,
    subject: str = ANN,
    tenant: str | None = "acme",
    purposes: frozenset[str] = frozenset(),
    number: int = 0,
) -> OptOutEvent:
    at = NOON + timedelta(seconds=number)
    return OptOutEvent(subject, tenant, standing, "cli", "test", at, purposes)


@dataclass(frozen=True)
class Arrival:
    """Rows 1.. of the table; which of them this process wrote, and how they come in."""

    rows: list[OptOutEvent]
    own: list[int]
    pages: list[int]
    mix: list[bool]


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    rows = draw(
        st.lists(
            st.builds(
                event,
                st.booleans(),
                subject=st.sampled_from((ANN, BOB)),
                tenant=st.sampled_from(SCOPES),
                purposes=st.sampled_from((frozenset(), frozenset({"marketing"}))),
                number=st.integers(0, 9),
            ),
            min_size=1,
            max_size=12,
        )
    )
    numbers = range(1, len(rows) + 1)
    own = draw(st.lists(st.sampled_from(numbers), unique=True))  # any order: tasks wake as they do
    pages = draw(st.lists(st.integers(1, 4), min_size=len(rows), max_size=len(rows)))
    mix = draw(st.lists(st.booleans(), min_size=3 * len(rows), max_size=3 * len(rows)))
    return Arrival(rows, own, pages, mix)


def last(rows: list[OptOutEvent], known: set[int], subject: str, scope: str | None) -> int | None:
    """The highest of the known sequence numbers that is about this subject and scope."""
    about = [n for n in known if (rows[n - 1].subject, rows[n - 1].tenant) == (subject, scope)]
    return max(about, default=None)


def check(image: OptOutImage, rows: list[OptOutEvent], known: set[int]) -> None:
    standing = 0
    for subject in (ANN, BOB):
        for tenant in ("acme", "other", "third"):
            wanted = []
            for scope in (tenant, None):
                number = last(rows, known, subject, scope)
                if number is not None and rows[number - 1].standing:
                    wanted.append(rows[number - 1])
            found = image.of(subject, tenant)
            assert [(w.tenant, w.since, w.purposes) for w in found] == [
                (w.tenant, w.at, w.purposes) for w in wanted
            ]
        for scope in SCOPES:
            number = last(rows, known, subject, scope)
            standing += number is not None and rows[number - 1].standing
    assert image.count() == standing


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
            page = list(enumerate(arrival.rows[start : start + pages.pop()], start + 1))
            image.follow(page)
            known.update(number for number, _ in page)
        check(image, arrival.rows, known)
    assert image.read_up_to == len(arrival.rows)
    assert known == set(range(1, len(arrival.rows) + 1))


def test_an_opt_out_of_this_process_outlives_an_older_page() -> None:
    image = OptOutImage()
    page = [(1, event()), (2, event(standing=False))]  # read before the next was written
    image.apply(3, event())
    image.follow(page)
    assert len(image.of(ANN, "acme")) == 1
    assert image.read_up_to == 2
    image.follow([(3, event())])
    assert len(image.of(ANN, "acme")) == 1


def test_an_own_event_does_not_hide_those_of_others_before_it() -> None:
    image = OptOutImage()
    image.apply(7, event())
    assert image.read_up_to == 0
    image.follow([(6, event(subject=BOB)), (7, event())])
    assert image.of(BOB, "acme") != ()


def test_a_wish_against_everyone_binds_each_tenant_and_is_lifted_only_as_such() -> None:
    image = OptOutImage()
    image.apply(1, event(tenant=None))
    image.apply(2, event(standing=False, tenant="acme"))
    assert [wish.tenant for wish in image.of(ANN, "acme")] == [None]
    image.apply(3, event(standing=False, tenant=None))
    assert image.of(ANN, "acme") == ()
    assert image.count() == 0


def test_who_never_said_anything_has_no_wish() -> None:
    image = OptOutImage()
    image.apply(1, event())
    assert image.of(BOB, "acme") == ()
    assert image.of(ANN, "other") == ()
