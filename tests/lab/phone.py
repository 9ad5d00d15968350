"""SIP phones that a test holds in its hand: they speak, press, hold and transfer when told.

SIPp plays a scenario that was written beforehand; a transfer, or a card number that is spoken
while a recording is paused, needs somebody who acts at the moment that the test names.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Self
from urllib.parse import quote

from tests.lab import sip
from tests.lab.audio import Samples
from tests.lab.sip import Message
from tests.lab.voice import FRAME_S, Tone, Voice

RINGS_S = 0.2
"""How long a phone rings before it takes a call: a person takes longer."""


class Leg:
    """One call of a phone, which made it or took it. What it is told, it does at once."""

    def __init__(self, phone: Phone, number: str, call_id: str, tone: Tone) -> None:
        self.number = number
        self.call_id = call_id
        self.code = 0
        """The final answer to the call, 0 until there is one."""
        self.over = False
        self.voice = Voice(tone)
        self.invite: Message | None = None
        """How it came in, if it did."""
        self.local = self.remote = self.target = ""
        self.answers_at = math.inf
        self.speaks_at = time.monotonic()
        self._phone = phone
        self._media: int | None = None
        self._sequence = itertools.count(1)

    # What a test does with it.

    def say(self, tone: Tone) -> None:
        """Speak at that pitch from now on, or be silent."""
        with self._phone.lock:
            self.voice.tone = tone

    def press(self, digits: str) -> None:
        """Press digits, one after the other, in place of the voice."""
        with self._phone.lock:
            self.voice.press(digits)

    def hears(self, tone: float) -> float:
        """For how many seconds it has heard that tone."""
        with self._phone.lock:
            return self.voice.heard(tone)

    def heard(self) -> Samples:
        """All that came to its ear."""
        with self._phone.lock:
            return self.voice.all_heard()

    def hold(self) -> None:
        """Put the other side on hold."""
        self.ask("INVITE", body=self.description("sendonly"))

    def take_back(self) -> None:
        """End a hold."""
        self.ask("INVITE", body=self.description())

    def transfer(self, number: str) -> None:
        """Blind transfer: the other side shall call `number`."""
        self.ask("REFER", f"Refer-To: <sip:{number}@127.0.0.1:{self._phone.pbx_port}>")

    def transfer_to(self, other: Leg) -> None:
        """Attended transfer: the other sides of both calls shall talk with each other."""
        tags = f"to-tag={sip.tag_of(other.remote)};from-tag={sip.tag_of(other.local)}"
        replaces = quote(f"{other.call_id};{tags}", safe="")
        where = f"sip:{other.number}@127.0.0.1:{self._phone.pbx_port}"
        self.ask("REFER", f"Refer-To: <{where}?Replaces={replaces}>")

    def hang_up(self) -> None:
        """End it; harmless where it is over."""
        with self._phone.lock:
            if not self.over and self.code == 200:
                self.ask("BYE")
            self.end()

    def wait_up(self, timeout: float = 10.0) -> Self:
        """Raises TimeoutError unless it is answered by then."""
        self._phone.wait(lambda: self.code == 200 or self.over, timeout)
        if self.code != 200:
            raise TimeoutError(f"{self.number} was not answered: {self.code}")
        return self

    def wait_over(self, timeout: float = 10.0) -> None:
        """Raises TimeoutError unless it has ended by then."""
        self._phone.wait(lambda: self.over, timeout)

    # What its phone does with it, holding the lock.

    def ask(self, method: str, *lines: str, body: str = "") -> None:
        with self._phone.lock:
            self._phone.request(self, method, next(self._sequence), lines, body)

    def description(self, direction: str = "sendrecv") -> str:
        version = int(time.monotonic() * 1000)
        return sip.describe(self.voice.port, direction, version, wide=self.voice.wide)

    def take_media(self, message: Message) -> None:
        self._media = message.media or self._media

    def speak(self) -> None:
        if self.code == 200 and not self.over and self._media is not None:
            self.voice.speak(self._media)

    def end(self) -> None:
        self.over = True
        self._phone.changed()


class Phone:
    """A phone, or all the world behind a carrier: calls and is called on one port, and answers
    whoever calls. `tones` are the voices of the numbers that are called there, `wide` those of
    them that speak in a wide band; `calls_wide` is whether it does itself where it calls."""

    def __init__(self, port: int, pbx_port: int, *, user: str, side: str, tone: Tone) -> None:
        self.port = port
        self.pbx_port = pbx_port
        self.tone = tone
        self.tones: dict[str, float] = {}
        self.wide: set[str] = set()
        self.calls_wide = False
        self.lock = threading.RLock()
        self._user = user
        self._side = side
        self._news = threading.Condition(self.lock)
        self._legs: dict[str, Leg] = {}
        self._forgotten: list[Leg] = []
        self._answers: dict[str, str] = {}
        self._branches = itertools.count(1)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"phone {user}")
        self._thread.start()

    def call(self, number: str, *, user: str = "", tone: Tone = None) -> Leg:
        """Call `number` through the PBX, as `user` where that is another than the phone's."""
        with self.lock:
            leg = Leg(self, number, f"{secrets.token_hex(8)}@lab", tone or self.tone)
            leg.voice.wide = self.calls_wide
            who = user or self._user
            leg.local = f"<sip:{who}@127.0.0.1:{self.port}>;tag={secrets.token_hex(4)}"
            leg.remote = f"<sip:{number}@127.0.0.1:{self.pbx_port}>"
            leg.target = f"sip:{number}@127.0.0.1:{self.pbx_port}"
            self._legs[leg.call_id] = leg
            leg.ask("INVITE", f"X-Lab-Side: {self._side}", body=leg.description())
            return leg

    def rung(self, number: str, *, timeout: float = 10.0) -> Leg:
        """The latest call that came in for `number`. Raises TimeoutError."""

        def those() -> list[Leg]:
            return [x for x in self._legs.values() if x.invite and x.number == number]

        self.wait(those, timeout)
        with self.lock:
            return those()[-1]

    def wait(self, look: Callable[[], object], timeout: float) -> None:
        with self._news:
            if not self._news.wait_for(look, timeout):
                raise TimeoutError(f"{self._user}: nothing within {timeout} s")

    def forget(self) -> None:
        """Hang up everything, and remember nothing."""
        with self.lock:
            for leg in self._legs.values():
                leg.hang_up()
            self._forgotten.extend(self._legs.values())
            self._legs.clear()

    def close(self) -> None:
        self.forget()
        self._ended.set()
        self._thread.join(2)
        for leg in self._forgotten:
            leg.voice.socket.close()
        self._socket.close()

    def changed(self) -> None:
        """A leg is not as it was; the lock is held."""
        self._news.notify_all()

    def request(
        self, leg: Leg, method: str, number: int, lines: tuple[str, ...], body: str, via: str = ""
    ) -> None:
        mark = f"z9hG4bK-{self.port}-{next(self._branches)}-{secrets.token_hex(3)}"
        head = [
            f"{method} {leg.target} SIP/2.0",
            f"Via: {via or f'SIP/2.0/UDP 127.0.0.1:{self.port};branch={mark}'}",
            f"From: {leg.local}", f"To: {leg.remote}", f"Call-ID: {leg.call_id}",
            f"CSeq: {number} {method}", "Max-Forwards: 70", self._contact, *lines,
        ]  # fmt: skip
        self._send(sip.compose(head, body))

    @property
    def _contact(self) -> str:
        return f"Contact: <sip:{self._user}@127.0.0.1:{self.port}>"

    def _send(self, text: str) -> None:
        self._socket.sendto(text.encode(), ("127.0.0.1", self.pbx_port))

    def _run(self) -> None:
        while not self._ended.is_set():
            with self.lock:
                living = [leg for leg in self._legs.values() if not leg.over]
            following = min((leg.speaks_at for leg in living), default=time.monotonic() + FRAME_S)
            ears: list[socket.socket] = [self._socket, *(leg.voice.socket for leg in living)]
            ready, _, _ = select.select(ears, [], [], max(0.0, following - time.monotonic()))
            with self.lock:
                if self._socket in ready:
                    self._read()
                for leg in living:
                    self._attend(leg, leg.voice.socket in ready)

    def _attend(self, leg: Leg, spoken_to: bool) -> None:
        if spoken_to:
            leg.voice.listen()
        now = time.monotonic()
        if now >= leg.answers_at and leg.invite is not None and not leg.over:
            leg.answers_at = math.inf
            leg.code = 200
            self._reply(leg.invite, "200 OK", leg, leg.description())
            self.changed()
        if now >= leg.speaks_at:
            leg.speaks_at += FRAME_S
            leg.speak()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message = sip.parse(self._socket.recv(65536))
                if message.status:
                    self._answered(message)
                elif message.first.strip():
                    self._asked(message)
                self.changed()

    def _answered(self, message: Message) -> None:
        leg = self._legs.get(message.headers["call-id"])
        if leg is None or message.method != "INVITE" or message.status < 200:
            return
        refused = message.status >= 300
        if not refused:
            leg.target = sip.address_of(message.headers.get("contact", leg.target))
            leg.take_media(message)
        leg.remote = message.headers["to"]
        via = message.headers["via"] if refused else ""
        self.request(leg, "ACK", message.number, (), "", via)
        if leg.code == 0:
            leg.code = message.status
            if refused:
                leg.end()

    def _asked(self, message: Message) -> None:
        leg = self._legs.get(message.headers["call-id"])
        if message.method == "ACK":
            return
        if message.headers["via"] in self._answers:  # it was asked again
            self._send(self._answers[message.headers["via"]])
        elif leg is None:
            if message.method == "INVITE":
                self._rings(message)
            else:
                self._reply(message, "200 OK")
        elif message.method == "INVITE":
            leg.take_media(message)
            self._reply(message, "200 OK", leg, leg.description())
        else:
            self._reply(message, "200 OK", leg)
            if message.method == "CANCEL" and leg.invite is not None:
                self._reply(leg.invite, "487 Cancelled", leg)
            if message.method in ("BYE", "CANCEL"):
                leg.end()

    def _rings(self, message: Message) -> None:
        number = message.dialled
        leg = Leg(self, number, message.headers["call-id"], self.tones.get(number, self.tone))
        leg.voice.wide = number in self.wide
        leg.invite = message
        leg.local = f"{message.headers['to']};tag={secrets.token_hex(4)}"
        leg.remote = message.headers["from"]
        leg.target = sip.address_of(message.headers["contact"])
        leg.take_media(message)
        leg.answers_at = time.monotonic() + RINGS_S
        self._legs[leg.call_id] = leg
        self._reply(message, "180 Ringing", leg)

    def _reply(self, to: Message, status: str, leg: Leg | None = None, body: str = "") -> None:
        target = to.headers["to"]
        if leg is not None and not sip.tag_of(target):
            target = leg.local
        lines = [
            f"SIP/2.0 {status}", f"Via: {to.headers['via']}", f"From: {to.headers['from']}",
            f"To: {target}", f"Call-ID: {to.headers['call-id']}", f"CSeq: {to.headers['cseq']}",
            self._contact,
        ]  # fmt: skip
        text = sip.compose(lines, body)
        if not status.startswith("1"):
            self._answers[to.headers["via"]] = text
        self._send(text)
