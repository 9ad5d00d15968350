"""What Asterisk 22 sends, as ``res_agi.c`` words it, and what it means."""

from callguard.agi.wire import HANGUP, Hangup, Reply, ReplyParser

USAGE = (
    b"520-Invalid command syntax.  Proper usage follows:\n"
    b" Usage: STREAM FILE <filename> <escape digits> [sample offset]\n"
    b"\n"
    b"\tSend the given file.\n"
    b"520 End of proper usage.\n"
)
USAGE_TEXT = (
    "Invalid command syntax.  Proper usage follows:\n"
    " Usage: STREAM FILE <filename> <escape digits> [sample offset]\n"
    "\n"
    "\tSend the given file."
)
NO_USAGE = "Invalid command syntax.  Proper usage not available."
DEAD = "Command Not Permitted on a dead channel or intercept routine"
TRYING = b"100 result=0 Trying...\n"

REPLIES: dict[bytes, Reply] = {
    b"200 result=1\n": Reply(200, "1"),
    b"200 result=-1\n": Reply(200, "-1"),
    b"200 result=\n": Reply(200, ""),
    b"200 result= (timeout)\n": Reply(200, "", "timeout"),
    b"200 result=123# (timeout)\n": Reply(200, "123#", "timeout"),
    b"200 result=1 ()\n": Reply(200, "1", ""),
    b"200 result=1 (allow)\n": Reply(200, "1", "allow"),
    b"200 result=1 (Smith (J.) & sons)\n": Reply(200, "1", "Smith (J.) & sons"),
    b"200 result=1 (a) endpos=5)\n": Reply(200, "1", "a) endpos=5"),
    b"200 result=1 ())\n": Reply(200, "1", ")"),
    "200 result=1 (Zoë)\n".encode(): Reply(200, "1", "Zoë"),
    b"200 result=1 (\xff)\n": Reply(200, "1", "\ufffd"),
    b"200 result=0 endpos=24953\n": Reply(200, "0", None, (("endpos", "24953"),)),
    b"200 result=57 endpos=100\n": Reply(200, "57", None, (("endpos", "100"),)),
    b"200 result=-1 (hangup) endpos=8\n": Reply(200, "-1", "hangup", (("endpos", "8"),)),
    b"200 result=1 (a) b) endpos=8\n": Reply(200, "1", "a) b", (("endpos", "8"),)),
    b"200 result=1 (digit) digit=5 endpos=9\n": Reply(
        200, "1", "digit", (("digit", "5"), ("endpos", "9"))
    ),
    TRYING: Reply(100, text="result=0 Trying..."),
    b"100 Trying\n": Reply(100, text="Trying"),
    b"510 Invalid or unknown command\n": Reply(510, text="Invalid or unknown command"),
    f"511 {DEAD}\n".encode(): Reply(511, text=DEAD),
    f"520 {NO_USAGE}\n".encode(): Reply(520, text=NO_USAGE),
    USAGE: Reply(520, text=USAGE_TEXT),
}

ENVIRONMENT = (
    b"agi_network: yes\n"
    b"agi_network_script: outbound?pbx=lab&number=%2B4930123456&tenant=acme\n"
    b"agi_request: agi://127.0.0.1:4573/outbound?pbx=lab&number=%2B4930123456&tenant=acme\n"
    b"agi_channel: PJSIP/agent-00000001\n"
    b"agi_language: de\n"
    b"agi_type: PJSIP\n"
    b"agi_uniqueid: 1793400000.1\n"
    b"agi_version: 22.10.0\n"
    b"agi_callerid: 200\n"
    b"agi_calleridname: Zo\xc3\xab: sales\n"
    b"agi_dnid: +4930123456\n"
    b"agi_rdnis: unknown\n"
    b"agi_context: callguard-outbound\n"
    b"agi_extension: +4930123456\n"
    b"agi_priority: 7\n"
    b"agi_enhanced: 0.0\n"
    b"agi_accountcode: \n"
    b"agi_threadid: 140123456789504\n"
    b"\n"
)


def events(*chunks: bytes) -> list[Reply | Hangup]:
    """Everything a fresh parser makes of the chunks; it is asked after each of them."""
    parser = ReplyParser()
    found: list[Reply | Hangup] = []
    for chunk in chunks:
        parser.receive(chunk)
        while (event := parser.next()) is not None:
            found.append(event)
    return found


__all__ = ["DEAD", "ENVIRONMENT", "HANGUP", "REPLIES", "TRYING", "USAGE", "USAGE_TEXT", "events"]
