"""Asterisk says that a recording began, not which: ours are counted off, the rest is foreign."""

from callguard.gate.foreign import ForeignRecordings

PBX, HERE = "asterisk", "1.1"


class Own:
    """Our own recordings in progress on the channel."""

    def __init__(self) -> None:
        self.ids: tuple[str, ...] = ()

    def __call__(self, pbx: str, uniqueid: str) -> tuple[str, ...]:
        return self.ids if (pbx, uniqueid) == (PBX, HERE) else ()


def test_ours_is_counted_off_and_the_next_one_is_foreign() -> None:
    own = Own()
    foreign = ForeignRecordings(own)
    own.ids = ("a",)
    assert not foreign.started(PBX, HERE)
    assert not foreign.is_suspected(PBX, HERE)
    assert foreign.started(PBX, HERE)
    assert foreign.on(PBX) == (HERE,)
    assert foreign.on("other") == ()
    assert foreign.stopped_newest(PBX, HERE) is None
    assert not foreign.is_suspected(PBX, HERE)


def test_ours_that_began_after_a_foreign_one_goes_with_it() -> None:
    own = Own()
    foreign = ForeignRecordings(own)
    assert foreign.started(PBX, HERE)
    own.ids = ("a",)
    assert not foreign.started(PBX, HERE)
    assert foreign.stopped_newest(PBX, HERE) == "a"
    assert foreign.is_suspected(PBX, HERE)
    assert foreign.stopped_newest(PBX, HERE) is None
    assert not foreign.is_suspected(PBX, HERE)


def test_ours_that_ended_meanwhile_is_not_taken_for_the_newest() -> None:
    own = Own()
    foreign = ForeignRecordings(own)
    assert foreign.started(PBX, HERE)
    own.ids = ("a",)
    assert not foreign.started(PBX, HERE)
    own.ids = ()
    assert foreign.stopped_newest(PBX, HERE) is None
    assert not foreign.is_suspected(PBX, HERE)


def test_what_ran_before_callguard_was_started_is_ours_where_the_recorder_says_so() -> None:
    own = Own()
    own.ids = ("a",)
    foreign = ForeignRecordings(own)
    foreign.runs(PBX, HERE, "a")
    foreign.runs(PBX, HERE, "a")
    assert foreign.started(PBX, HERE), "ours had begun: this is another"


def test_what_may_have_begun_while_nothing_was_told_is_suspected_once() -> None:
    foreign = ForeignRecordings(Own())
    foreign.suspect(PBX, HERE)
    foreign.suspect(PBX, HERE)
    assert foreign.stopped_newest(PBX, HERE) is None
    assert not foreign.is_suspected(PBX, HERE)


def test_a_channel_is_reported_once_in_its_life() -> None:
    foreign = ForeignRecordings(Own())
    assert foreign.report_once(PBX, HERE)
    assert not foreign.report_once(PBX, HERE)
    foreign.gone(PBX, HERE)
    assert foreign.report_once(PBX, HERE)
