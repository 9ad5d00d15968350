"""The demo: its answer, on the real Asterisk and on the harness."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.report import EXPECTED

FIELDS = {
    "name",
    "direction",
    "verdict",
    "reasons",
    "blocked_by",
    "connected",
    "notice",
    "consent",
    "recorded",
    "sealed_bytes",
    "cdr",
}
HELD_BACK = {
    "outbound opted out": ["base.opt-out"],
    "outbound outside hours": ["us.federal.collection.hours"],
    "outbound fourth in a day": ["us-fl.attempts"],
    "outbound in the registry": ["us.federal.registry"],
}
"""The one rule that blocks each call, all of them shipped."""


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.lab.demo", *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, **environment},
    )


def check(answer: dict[str, Any]) -> None:
    assert {call["name"] for call in answer["calls"]} == set(EXPECTED)
    for call in answer["calls"]:
        assert set(call) >= FIELDS
        want = EXPECTED[call["name"]]
        assert (call["verdict"], call["connected"]) == (want.verdict, want.connected)
        assert (call["consent"], call["recorded"]) == (want.consent, want.recorded)
        assert (call["sealed_bytes"] > 0) == want.recorded
        assert call["cdr"]["uniqueid"]
    rules = {c["name"]: [rule["rule"] for rule in c["blocked_by"]] for c in answer["calls"]}
    assert {name: held for name, held in rules.items() if held} == HELD_BACK


def test_where_no_asterisk_can_be_made_the_same_calls_are_simulated(tmp_path: Path) -> None:
    (tmp_path / "no-lab").write_text("not a Debian system\n")
    done = demo("--once", "--json", CALLGUARD_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "simulated calls: not a Debian system" in done.stderr
    answer = json.loads(done.stdout)
    assert answer["on"] == "a simulated Asterisk"
    check(answer)


def test_the_simulated_calls_are_shown_as_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "no-lab").write_text("no root\n")
    done = demo("--once", CALLGUARD_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + len(EXPECTED)
    assert all(line.startswith("ok ") for line in lines[1:])
    (night,) = [line for line in lines if "outside hours" in line]
    (fourth,) = [line for line in lines if "fourth in a day" in line]
    assert "is outside 08:00-21:00 (us.federal.collection.hours: 12 CFR 1006.6" in night
    assert "3 calls by the tenant in 24 hours, 3 are allowed" in fourth
    assert "(us-fl.attempts: Fla. Stat. 501.616(6)(b))" in fourth


@pytest.mark.lab
def test_the_real_calls_come_out_as_expected() -> None:
    done = demo("--once", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["on"] == "a real Asterisk with SIPp"
    check(answer)
