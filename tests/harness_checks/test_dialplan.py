"""The dialplan reader: the real file is understood, anything else is refused by file and line."""

from pathlib import Path

import pytest

from tests.harness.applications import APPLICATIONS
from tests.harness.dialplan import Dialplan, DialplanError, load, matches
from tests.harness.functions import FUNCTIONS
from tests.harness.playbook import CONF, OPERATOR, Pbx
from tests.harness.variables import Variables
from tests.harness.virtual import virtual_time
from tests.harness_checks.gate import gate


def read(folder: Path, text: str) -> Dialplan:
    file = folder / "extensions.conf"
    file.write_text(text, "utf-8")
    dialplan = load(file)
    dialplan.check(APPLICATIONS.keys(), FUNCTIONS.keys())
    return dialplan


def test_the_real_dialplan_is_within_what_is_simulated() -> None:
    dialplan = load(CONF / "extensions_callguard.conf", OPERATOR)
    dialplan.check(APPLICATIONS.keys(), FUNCTIONS.keys())
    contexts = {"callguard-outbound", "callguard-inbound", "callguard-answered"}
    assert contexts <= dialplan.contexts.keys()
    emergency = dialplan.find("callguard-outbound", "112")
    assert emergency is not None
    assert emergency.pattern == "112"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("exten => s,1,Queue(sales)", "extensions.conf:2: Queue"),
        ("exten => s,1,NoOp(${SHELL(ls)})", "extensions.conf:2: function SHELL"),
        ("exten => s,1,Gosub(nowhere,s,1)", "extensions.conf:2: nowhere,s,1 leads nowhere"),
        ("exten => s,1,GotoIf($[1]?nowhere)", "extensions.conf:2: there is no label 'nowhere'"),
        ("exten => s,n,NoOp()", "extensions.conf:2: the first priority"),
        ("extend => s,1,NoOp()", "extensions.conf:2: cannot read"),
        ("include => nobody", "includes .nobody."),
        ("same => n,NoOp()", "extensions.conf:2: `same` without"),
    ],
)
def test_what_is_not_simulated_is_named_with_file_and_line(
    tmp_path: Path, line: str, complaint: str
) -> None:
    with pytest.raises(DialplanError, match=complaint):
        read(tmp_path, f"[here]\n{line}\n")


@pytest.mark.parametrize(
    ("pattern", "exten", "expected"),
    [
        ("_X.", "4930", True),
        ("_X.", "4", False),
        ("_X!", "4", True),
        ("_.", "+49", True),
        ("_[0-9+*#]!", "+4930", True),
        ("_[0-9+*#]!", "h", False),
        ("_NXX", "200", True),
        ("_NXX", "100", False),
        ("_+49ZX.", "+49301", True),
        ("_0[1-3]X", "023", True),
        ("_0[1-3]X", "043", False),
    ],
)
def test_patterns(pattern: str, exten: str, expected: bool) -> None:
    assert matches(pattern, exten) is expected


def test_exact_goes_before_pattern_and_own_before_included(tmp_path: Path) -> None:
    dialplan = read(
        tmp_path,
        """[main]
include => other
exten => _X.,1,NoOp(wide)
exten => _11X,1,NoOp(narrow)
exten => 112,1,NoOp(exact) ; and a comment
[other]
exten => 112,1,NoOp(never)
exten => +1,1,NoOp(included\\; with a semicolon)
""",
    )

    def reached(exten: str) -> str | None:
        extension = dialplan.find("main", exten)
        return None if extension is None else extension.steps[1].data

    assert reached("112") == "exact"
    assert reached("113") == "narrow"
    assert reached("999") == "wide"
    assert reached("+1") == "included; with a semicolon"
    assert reached("+2") is None


def test_inheritance_follows_the_underscores() -> None:
    variables = Variables()
    variables.set("__FOREVER", "1")
    variables.set("_ONCE", "2")
    variables.set("NEVER", "3")
    child = variables.inherited()
    assert child.snapshot() == {"FOREVER": "1", "ONCE": "2"}
    assert child.inherited().snapshot() == {"FOREVER": "1"}
    variables.set("FOREVER", "4")
    assert "FOREVER" not in variables.inherited().snapshot()


RUN = """
[from-agents]
exten => h,1,Set(HUNG=${CDR(userfield)})
exten => _.,1,Set(TRACE=)
 same => n,Gosub(outer,s,1(one,two))
 same => n,Set(TRACE=${TRACE}-${ARG1}-${GOSUB_RETVAL})
 same => n,ExecIf($[${LEN(${EXTEN})} > 2]?Set(TRACE=${TRACE}-long):Set(TRACE=${TRACE}-short))
 same => n,GosubIf($["${REGEX("^[0-9]+$" ${EXTEN})}" = "1"]?digits,s,1)
 same => n,Set(GLOBAL(SEEN)=${FILTER(0-9a-c,${EXTEN}xyz)})
 same => n,Set(CDR(userfield)=${ISNULL(${NOTHING})}${IF($[1 > 2]?yes:no)})
 same => n,Wait(1.5)
 same => n,Goto(elsewhere,${EXTEN},here)
[outer]
exten => s,1,Gosub(inner,s,1(three))
 same => n,Set(TRACE=${TRACE}(${ARG1}${ARG2}))
 same => n,Return(back)
[inner]
exten => s,1,Set(TRACE=${ARG1}${ARG2}${ARGC})
 same => n,Return()
[digits]
exten => s,1,Set(TRACE=${TRACE}-digits)
 same => n,Return()
[elsewhere]
exten => _X.,1,NoOp(not reached)
 same => n(here),Set(TRACE=${TRACE}-${CONTEXT})
 same => n,Hangup(21)
"""


@virtual_time
async def test_a_dialplan_runs_as_asterisk_would_run_it(tmp_path: Path) -> None:
    operator = tmp_path / "operator.conf"
    operator.write_text(RUN, "utf-8")
    async with Pbx(gate().serve, folder=tmp_path, operator=operator) as pbx:
        call = pbx.outbound("445566")
        outcome = await call.ended()
        assert pbx.clock.monotonic() == 1.5
    assert outcome.variables["TRACE"] == "three1(onetwo)--back-long-digits-elsewhere"
    assert pbx.asterisk.globals["SEEN"] == "445566"
    assert outcome.cdr["userfield"] == "1no"
    assert outcome.hangup_cause == 21


def test_a_value_that_breaks_an_expression_is_told_or_ends_as_in_asterisk(tmp_path: Path) -> None:
    operator = tmp_path / "operator.conf"
    operator.write_text(
        "[from-agents]\nexten => _.,1,GotoIf($[${EXTEN} = 1]?yes)\n"
        " same => n,Hangup(1)\n same => n(yes),Hangup(2)\n",
        "utf-8",
    )

    @virtual_time
    async def run(strict: bool) -> None:
        async with Pbx(gate().serve, folder=tmp_path, operator=operator) as pbx:
            pbx.asterisk.interpreter.strict_expressions = strict
            outcome = await pbx.outbound('1" = "').ended()
            assert outcome.hangup_cause == 1

    run(False)
    with pytest.raises(DialplanError, match=r"operator\.conf:2"):
        run(True)
