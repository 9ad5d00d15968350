"""What a party sends within its call: digits as SIP INFO, hold and unhold by re-INVITE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_HEAD = """\
      {method} {uri} SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: {local}
      {remote}
      Call-ID: [call_id]
      CSeq: {cseq} {method}
      Max-Forwards: 70"""

_INFO = """<send retrans="500"><![CDATA[
{head}
      Content-Type: application/dtmf-relay
      Content-Length: [len]

      Signal={digit}
      Duration=160
  ]]></send>
  <recv response="200"/>"""

_REINVITE = """<send retrans="500"><![CDATA[
{head}
      Contact: <sip:[local_ip]:[local_port];transport=[transport]>
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=lab 1 {cseq} IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0 101
      a=rtpmap:0 PCMU/8000
      a=rtpmap:101 telephone-event/8000
      a=fmtp:101 0-16
      a={direction}
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="200"/>
  <send><![CDATA[
{ack}
      Content-Length: 0
  ]]></send>"""


@dataclass(frozen=True, slots=True)
class Info:
    """Send DTMF digits as SIP INFO (`application/dtmf-relay`)."""

    digits: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Put the other side on hold: `sendonly` with the party's own music, here its tone, or
    `inactive` with nothing."""

    direction: Literal["sendonly", "inactive"] = "sendonly"


@dataclass(frozen=True, slots=True)
class Unhold:
    """Take the other side off hold."""


InDialog = Info | Hold | Unhold


@dataclass(frozen=True, slots=True)
class Dialog:
    """How a scenario names its two ends: the request URI, the From value and the To line."""

    uri: str
    local: str
    remote: str


def requests(step: InDialog, dialog: Dialog, order: int) -> str:
    """The scenario's part for the `order`-th step of a call; its CSeq lies after those before."""
    match step:
        case Info(digits):
            return "\n  ".join(
                _INFO.format(head=_head("INFO", dialog, 10 * order + 10 + at), digit=digit)
                for at, digit in enumerate(digits)
            )
        case Hold(direction):
            return _reinvite(direction, dialog, order)
        case Unhold():
            return _reinvite("sendrecv", dialog, order)


def _reinvite(direction: str, dialog: Dialog, order: int) -> str:
    cseq = 10 * order + 10
    stream = "pause" if direction == "inactive" else "resume"
    return f'<nop><action><exec rtp_stream="{stream}"/></action></nop>\n  ' + _REINVITE.format(
        head=_head("INVITE", dialog, cseq),
        ack=_head("ACK", dialog, cseq),
        cseq=cseq,
        direction=direction,
    )


def _head(method: str, dialog: Dialog, cseq: int) -> str:
    return _HEAD.format(
        method=method, uri=dialog.uri, local=dialog.local, remote=dialog.remote, cseq=cseq
    )
