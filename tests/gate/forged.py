"""An AGI request that no dialplan made: whoever reaches the port can say anything."""

from tests.harness.playbook import Pbx


async def ask(pbx: Pbx, script: str, *, uniqueid: str = "99.9", caller: str = "200") -> list[str]:
    """Asks the gate as a channel that does not exist, answers every command with success and
    every prompt as heard to its end; the commands it was given."""
    reader, writer = await pbx.network.agi_connect()
    environment = {
        "network_script": script,
        "request": f"agi://127.0.0.1/{script}",
        "channel": "PJSIP/nobody-00000099",
        "uniqueid": uniqueid,
        "callerid": caller,
    }
    lines = [f"agi_{name}: {value}\n" for name, value in environment.items()]
    writer.write("".join([*lines, "\n"]).encode())
    commands = []
    while line := (await reader.readline()).decode().strip():
        commands.append(line)
        heard = line.startswith("STREAM FILE")
        writer.write(b"200 result=0 endpos=24000\n" if heard else b"200 result=1\n")
    writer.close()
    return commands
