"""SIP parties played by SIPp: callers and called parties, with tones and digits in real RTP."""

from __future__ import annotations

import asyncio
import atexit
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.lab import dtmf
from tests.lab.in_dialog import Dialog, InDialog, requests
from tests.lab.ports import PortRange

_SCENARIOS = Path(__file__).parent / "scenarios"
_REFUSALS = (400, 403, 404, 480, 484, 486, 487, 488, 500, 501, 502, 503, 603)
_BYE_OUT = """<send retrans="500"><![CDATA[
      BYE {uri} SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: {local}
      {remote}
      Call-ID: [call_id]
      CSeq: 1000 BYE
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  <recv response="200" next="over"/>"""
_BYE_IN = """<recv request="BYE"/>
  <send next="over"><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0
  ]]></send>"""
_CANCEL = """<pause milliseconds="{after}"/>
  <send retrans="500"><![CDATA[
      CANCEL sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]-0
      From: "@name@" <sip:@user@@[local_ip]:[local_port]>;tag=[pid]t[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 CANCEL
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  <recv response="200"/>
  <recv response="487" next="refused"/>"""


@dataclass(frozen=True, slots=True)
class Talk:
    """Be in the call for `ms` milliseconds."""

    ms: int


@dataclass(frozen=True, slots=True)
class Digits:
    """Send DTMF digits as RFC 4733 events."""

    digits: str


Step = Talk | Digits | InDialog


@dataclass(frozen=True, slots=True)
class SipMessage:
    """One message of a trace: when (epoch seconds), which way, and its text."""

    at: float
    sent: bool
    text: str

    @property
    def first_line(self) -> str:
        return self.text.split("\n", 1)[0].strip()

    @property
    def method(self) -> str:
        """The request method, or the empty string for a response."""
        line = self.first_line
        return "" if line.startswith("SIP/2.0") else line.split(" ", 1)[0]

    @property
    def status(self) -> int:
        """The response code, or 0 for a request."""
        line = self.first_line
        return int(line.split()[1]) if line.startswith("SIP/2.0") else 0

    def header(self, name: str) -> str:
        """The value of the first header of that name, or the empty string."""
        found = re.search(rf"^{re.escape(name)}:\s*(.*?)\s*$", self.text, re.M | re.I)
        return found.group(1) if found else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a party's calls, told from its own trace."""

    trace: tuple[SipMessage, ...]
    exit_code: int | None

    def requests(self, method: str, *, sent: bool) -> list[SipMessage]:
        """Requests of that method, retransmissions included."""
        return [m for m in self.trace if m.method == method and m.sent == sent]

    @property
    def invites_received(self) -> list[SipMessage]:
        return self.requests("INVITE", sent=False)

    @property
    def final_code(self) -> int:
        """The last final answer to INVITE, 0 when there was none."""
        codes = [
            m.status for m in self.trace if m.status >= 200 and m.header("CSeq").endswith("INVITE")
        ]
        return codes[-1] if codes else 0

    @property
    def provisional_codes(self) -> list[int]:
        return [m.status for m in self.trace if 100 <= m.status < 200]

    @property
    def connected(self) -> bool:
        return self.final_code == 200

    @property
    def talks(self) -> list[float]:
        """Seconds from the answer to the first BYE, for each call that had both."""
        answered: dict[str, float] = {}
        ended: dict[str, float] = {}
        for message in self.trace:
            call_id = message.header("Call-ID")
            if message.status == 200 and message.header("CSeq").endswith("INVITE"):
                answered.setdefault(call_id, message.at)
            elif message.method == "BYE":
                ended.setdefault(call_id, message.at)
        return [ended[call_id] - at for call_id, at in answered.items() if call_id in ended]

    @property
    def hung_up_by_peer(self) -> bool:
        """The other side sent BYE."""
        return bool(self.requests("BYE", sent=False))


class SippError(RuntimeError):
    """SIPp itself failed; the message is its own."""


class Party:
    """A running SIPp. Take `outcome()` at any time, `finish()` to wait for its end."""

    def __init__(self, folder: Path, scenario: str, arguments: Sequence[str], calls: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._trace = folder / "messages.log"
        self._errors = folder / "errors.log"
        self._media = PortRange(100)
        path = folder / "scenario.xml"
        path.write_text(scenario)
        port = self._media.take(10)
        command = [
            "sipp", "-sf", str(path), "-i", "127.0.0.1", "-mi", "127.0.0.1",
            "-mp", str(port),
            "-nostdin", "-trace_msg", "-message_file", str(self._trace),
            "-trace_err", "-error_file", str(self._errors), "-m", str(calls), *arguments,
        ]  # fmt: skip
        self._output = (folder / "screen").open("wb")
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )
        atexit.register(self.close)

    def outcome(self) -> Outcome:
        """What it has seen so far."""
        return Outcome(_read_trace(self._trace), self._process.poll())

    @property
    def errors(self) -> str:
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def finish(self, timeout: float = 30.0) -> Outcome:
        """Wait until its calls are over.

        Raises subprocess.TimeoutExpired when they are not by then, SippError when SIPp could not
        play the scenario at all.
        """
        try:
            self._process.wait(timeout)
        finally:  # one that hangs must not keep the port from the next
            outcome = self.close()
        if outcome.exit_code not in (0, 1):  # 1: a call went otherwise than the scenario
            raise SippError(self.errors or f"SIPp ended with {outcome.exit_code}")
        return outcome

    async def finished(self, timeout: float = 30.0) -> Outcome:
        """`finish` without blocking the event loop."""
        return await asyncio.to_thread(self.finish, timeout)

    def hang_up(self) -> None:
        """Leave at once, without a BYE, as a lost connection does."""
        self.close()

    def close(self) -> Outcome:
        """End it, whatever it is doing."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._output.close()
        self._media.release()
        atexit.unregister(self.close)
        return self.outcome()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def call(
    folder: Path,
    *,
    to: str,
    target: int,
    port: int,
    user: str = "agent1",
    name: str = "Agent",
    side: str = "agent",
    tone: Path | None = None,
    steps: Sequence[Step] = (Talk(1000),),
    hang_up: bool = True,
    cancel_after_ms: int | None = None,
    calls: int = 1,
    rate: int = 10,
) -> Party:
    """Call number `to` at 127.0.0.1:`target`, from `port`.

    After the answer it plays `tone` (raw µ-law, 8 kHz) without end, goes through `steps`, then
    sends BYE (`hang_up`) or waits for the other side's. `cancel_after_ms` gives up unanswered, so
    long after the first ringing.
    """
    dialog = Dialog(
        "[next_url]",
        f'"{name}" <sip:{user}@[local_ip]:[local_port]>;tag=[pid]t[call_number]',
        "[last_To:]",
    )
    refusals = "\n".join(
        f'  <recv response="{code}" optional="true" next="refused"/>' for code in _REFUSALS
    )
    cancel = "" if cancel_after_ms is None else _CANCEL.format(after=cancel_after_ms)
    scenario = _render(
        "caller.xml",
        refusals="" if cancel else refusals,
        cancel=cancel,
        ringing_optional="false" if cancel else "true",
        tone=_tone(tone),
        steps=_steps(folder, steps, dialog),
        ending=_bye(dialog) if hang_up else _BYE_IN,
        user=user,
        name=name,
        side=side,
    )
    arguments = ["-s", to, "-p", str(port), "-r", str(rate), f"127.0.0.1:{target}"]
    return Party(folder, scenario, arguments, calls)


def answer(
    folder: Path,
    *,
    port: int,
    tone: Path | None = None,
    ring_ms: int = 100,
    early: Path | None = None,
    steps: Sequence[Step] = (),
    hang_up: bool = False,
    code: int = 200,
    calls: int = 1,
) -> Party:
    """Wait for calls on 127.0.0.1:`port`, answer with `code` after `ring_ms`, then as `call`.

    With `early`, that is played meanwhile, as the network does before an answer.
    """
    dialog = Dialog("[$remote]", "[$callee];tag=[pid]u[call_number]", "To: [$caller]")
    part = "called_answers.xml" if code == 200 else "called_refuses.xml"
    scenario = _render(
        "called.xml",
        early="" if early is None else (_SCENARIOS / "called_early.xml").read_text(),
        early_tone=_tone(early),
        answer=(_SCENARIOS / part).read_text(),
        ring_ms=str(ring_ms),
        code=str(code),
        tone=_tone(tone),
        steps=_steps(folder, steps, dialog),
        ending=_bye(dialog) if hang_up else _BYE_IN,
    )
    party = Party(folder, scenario, ["-p", str(port)], calls)
    _wait_for_port(port)
    return party


def _render(file: str, /, **values: str) -> str:
    text = (_SCENARIOS / file).read_text()
    for _ in range(2):  # a value may itself hold placeholders
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
    return text


def _tone(path: Path | None) -> str:
    if path is None:
        return ""
    return f'<nop><action><exec rtp_stream="{path},-1,0"/></action></nop>'


def _bye(dialog: Dialog) -> str:
    return _BYE_OUT.format(uri=dialog.uri, local=dialog.local, remote=dialog.remote)


def _steps(folder: Path, steps: Sequence[Step], dialog: Dialog) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for order, step in enumerate(steps):
        match step:
            case Talk(ms):
                lines.append(f'<pause milliseconds="{ms}"/>')
            case Digits(digits):
                path = dtmf.write_capture(folder / f"digits{order}.pcap", digits, order=order)
                lines.append(f'<nop><action><exec play_pcap_audio="{path}"/></action></nop>')
            case _:
                lines.append(requests(step, dialog, order))
    return "\n  ".join(lines)


def _wait_for_port(port: int, timeout: float = 5.0) -> None:
    ends = time.monotonic() + timeout
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.02)
        probe.connect(("127.0.0.1", port))
        while time.monotonic() < ends:
            try:
                probe.send(b"\r\n\r\n")  # a keep-alive, refused by the kernel if none listens
                probe.recv(1)
            except ConnectionRefusedError:
                time.sleep(0.01)
            except TimeoutError:
                return
    raise TimeoutError(f"SIPp does not listen on {port}")


_MARK = re.compile(
    r"^-{20,} (\d{4}-\d\d-\d\d)[ T\t]+(\d\d:\d\d:\d\d\.\d+).*?$\n"
    r"UDP message (sent|received) [\[(]\d+[\])]? bytes.*?:\s*$\n\n?",
    re.M,
)


def _read_trace(path: Path) -> tuple[SipMessage, ...]:
    if not path.exists():
        return ()
    text = path.read_text(errors="replace").replace("\r\n", "\n")
    marks = list(_MARK.finditer(text))
    messages = []
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        body = text[mark.end() : following.start() if following else len(text)]
        stamp, fraction = f"{mark.group(1)} {mark.group(2)}".split(".")
        at = time.mktime(time.strptime(stamp, "%Y-%m-%d %H:%M:%S")) + float(f"0.{fraction}")
        messages.append(SipMessage(at, mark.group(3) == "sent", body.strip()))
    return tuple(messages)
