"""A plain AMI client for the checks: no parsing beyond blocks and headers."""

import asyncio
import hashlib

SECRET = "secret"

Block = list[tuple[str, str]]


def blocks(data: bytes) -> list[Block]:
    """The messages in a dump of AMI, the greeting left out."""
    text = data.decode()
    if text.startswith("Asterisk Call Manager/"):
        text = text.split("\r\n", 1)[1]
    found = []
    for message in text.split("\r\n\r\n"):
        lines = [line.split(":", 1) for line in message.split("\r\n") if ":" in line]
        if lines:
            found.append([(name, value.removeprefix(" ")) for name, value in lines])
    return found


class Client:
    """Sends actions, reads blocks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def greeting(self) -> bytes:
        return await self.reader.readline()

    def send(self, name: str, **headers: str) -> None:
        lines = [("Action", name), *headers.items()]
        text = "".join(f"{key}: {value}\r\n" for key, value in lines) + "\r\n"
        self.writer.write(text.encode())

    async def receive(self) -> dict[str, str]:
        (block,) = blocks(await self.reader.readuntil(b"\r\n\r\n"))
        return dict(block)

    async def ask(self, name: str, **headers: str) -> dict[str, str]:
        """Send, and read until the response, events left aside."""
        self.send(name, **headers)
        while True:
            found = await self.receive()
            if "Response" in found:
                return found

    async def log_in(self, *, secret: str = SECRET, events: str = "on") -> dict[str, str]:
        """MD5 login."""
        challenge = (await self.ask("Challenge", AuthType="MD5"))["Challenge"]
        key = hashlib.md5((challenge + secret).encode()).hexdigest()  # noqa: S324  (AMI's scheme)
        return await self.ask("Login", AuthType="MD5", Username="callguard", Key=key, Events=events)
