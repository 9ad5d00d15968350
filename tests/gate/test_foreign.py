"""Asterisk says that a recording began, not which: ours are counted off, the rest is foreign."""

from callguard.gate.foreign import ForeignRecordings

PBX, HERE = "asterisk", "1.1"


class Own:
    """Our own recordings in progress on the channel."""

    def __init__(self) -> None:
        self.ids: tuple[str, ...] = ()
        self.known = True

    def __call__(self, pbx: str, uniqueid: str) -> dict[str, bool]:
        ids = self.ids if (pbx, uniqueid) == (PBX, HERE) else ()
        return dict.fromkeys(ids, self.known)


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


def test_what_may_have_begun_while_nothing_was_told_is_suspected_until_none_is_left() -> None:
    foreign = ForeignRecordings(Own())
    foreign.suspect(PBX, HERE)
    for _ in range(3):
        assert foreign.stopped_newest(PBX, HERE) is None
        foreign.ended_one(PBX, HERE)
        assert foreign.is_suspected(PBX, HERE), "there may have been several"
    foreign.ended_alone(PBX, HERE)
    assert not foreign.is_suspected(PBX, HERE)


def test_a_channel_is_reported_once_in_its_life() -> None:
    foreign = ForeignRecordings(Own())
    assert foreign.report_once(PBX, HERE)
    assert not foreign.report_once(PBX, HERE)
    foreign.gone(PBX, HERE)
    assert foreign.report_once(PBX, HERE)


def test_which_is_ours_is_not_known_while_ours_is_being_begun() -> None:
    own = Own()
    own.ids, own.known = ("a",), False
    foreign = ForeignRecordings(own)
    assert not foreign.started(PBX, HERE)
    assert foreign.started(PBX, HERE)
    assert foreign.is_mixed(PBX, HERE)
    for _ in range(2):
        assert foreign.stopped_newest(PBX, HERE) is None
        assert foreign.is_suspected(PBX, HERE), "until none is left"
    foreign.ended_alone(PBX, HERE)
    assert not foreign.is_mixed(PBX, HERE)


def test_one_that_ended_beside_ours_was_somebody_elses_if_ours_lives() -> None:
    own = Own()
    foreign = ForeignRecordings(own)
    own.ids = ("a",)
    assert not foreign.started(PBX, HERE)
    for ours, suspected in ((("a",), False), ((), True)):
        assert foreign.started(PBX, HERE)
        foreign.ended_one(PBX, HERE)
        assert foreign.is_unsure(PBX, HERE)
        foreign.only_these_live(PBX, HERE, ours)
        assert not foreign.is_unsure(PBX, HERE)
        assert foreign.is_suspected(PBX, HERE) is suspected


def test_one_that_was_told_to_stop_is_no_question() -> None:
    own = Own()
    foreign = ForeignRecordings(own)
    own.ids = ("a",)
    assert not foreign.started(PBX, HERE)
    assert foreign.started(PBX, HERE)
    foreign.order(PBX, HERE)
    foreign.ended_one(PBX, HERE)
    assert not foreign.is_unsure(PBX, HERE)
