"""The pace of a purge: it goes to what a transaction should take, and stays within its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from callguard.retention.purging.pace import AIM_S, FEWEST, MOST, Pace


@given(st.integers(FEWEST, MOST), st.floats(0, 1_000))
def test_it_changes_at_most_twofold_and_never_leaves_its_bounds(rows: int, took: float) -> None:
    after = Pace(rows).after(took).rows
    assert FEWEST <= after <= MOST
    assert rows // 2 <= after <= 2 * rows or after == FEWEST


@given(st.floats(1e-6, 1e-3), st.floats(0, 0.01))
def test_it_settles_where_a_transaction_takes_what_it_should(a_row: float, fixed: float) -> None:
    pace = Pace()
    for _ in range(60):
        pace = pace.after(fixed + a_row * pace.rows)
    took = fixed + a_row * pace.rows
    assert took <= AIM_S * 1.05 or pace.rows <= 2 * FEWEST
    assert pace.rows == MOST or fixed > AIM_S / 2 or took >= AIM_S / 2 or pace.rows < 2 * FEWEST
