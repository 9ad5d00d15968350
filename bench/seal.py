"""How fast a large payload is sealed, beside the bare cipher, the `age` tool and pyrage.

Everybody seals the same bytes for one X25519 recipient, in alternating rounds of one run. In memory
callguard makes a whole age file: header, file key, chunks. The `age` tool reads the input from a
warm file; where nothing is kept it writes to /dev/null. Into files, callguard goes through its
folder store, which syncs what it wrote; the others hand it to the kernel and do not sync, but one.
The tool's start counts, for it starts for each file; what it comes to is said. Run it on a machine
that does nothing else: the aims are judged by the clock, and the processor's time is beside it.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import pyrage  # type: ignore[import-untyped]  # ships no types
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from callguard.recording import age
from callguard.recording.payload import seal_stream
from callguard.recording.store.folder import FolderStore

SIZE: Final = int(os.environ.get("BENCH_MIB", "64")) << 20
"""By default what a call of an hour and ten minutes comes to; BENCH_MIB takes another size."""

ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "21"))
FILE_ROUNDS: Final = 7
PIECE: Final = 1 << 20
TIMES_THE_TOOL: Final = 2.0
SHARE_OF_BARE: Final = 0.7
LABORATORY: Final = Path(__file__).parents[1] / ".cache/asterisk-root/usr/bin/age"
"""The stock tool of version 1.3, where the laboratory has been prepared; else the host's own."""

BARE, OURS, TOOL, RAGE = "bare cipher loop", "callguard", "the age tool", "pyrage"
START = "the age tool, of nothing"
MEMORY, FILES = "nothing kept", "into a file"


def bare_chunks(pieces: Iterator[memoryview]) -> Iterator[bytes]:
    """The cipher and nothing else: what no implementation of the format can do without."""
    cipher = ChaCha20Poly1305(bytes(32))
    index = 0
    for piece in pieces:
        for start in range(0, len(piece), age.CHUNK_SIZE):
            chunk = piece[start : start + age.CHUNK_SIZE]
            yield cipher.encrypt(index.to_bytes(12, "big"), chunk, None)
            index += 1


def our_file(pieces: Iterator[memoryview], recipient: age.Recipient) -> Iterator[bytes]:
    """A whole age file."""
    file_key = age.new_file_key()
    yield age.build_header(file_key, [recipient])
    yield from seal_stream(pieces, file_key, age.new_nonce())  # type: ignore[arg-type] # a view will do


class Contenders:
    """What is sealed, and by whom; each call seals all of it once."""

    def __init__(self, folder: Path, tool: str | None) -> None:
        self._folder = folder
        self._source = folder / "plain"
        self._data = os.urandom(SIZE)
        self._source.write_bytes(self._data)
        self._empty = folder / "empty"
        self._empty.touch()
        self._identity = age.generate_identity("x25519")
        self._recipient = self._identity.recipient
        self._theirs = pyrage.x25519.Recipient.from_str(str(self._recipient))
        self._store = FolderStore(folder / "store")
        self._tool = tool

    def all(self) -> dict[tuple[str, str], Callable[[], None]]:
        """By name and by what becomes of the output."""
        found: dict[tuple[str, str], Callable[[], None]] = {
            (BARE, MEMORY): lambda: self._consume(bare_chunks(self._in_memory())),
            (OURS, MEMORY): lambda: self._consume(our_file(self._in_memory(), self._recipient)),
            (RAGE, MEMORY): lambda: self._encrypt_in_memory(),
            (f"{BARE}, synced", FILES): lambda: self._keep(bare_chunks(self._from_file())),
            (f"{OURS}, folder store", FILES): lambda: self._store_it(),
            (RAGE, FILES): lambda: pyrage.encrypt_file(
                str(self._source), str(self._folder / "out"), [self._theirs]
            ),
        }
        if self._tool is not None:
            found[TOOL, MEMORY] = lambda: self._run_tool("/dev/null")
            found[START, MEMORY] = lambda: self._run_tool("/dev/null", str(self._empty))
            found[TOOL, FILES] = lambda: self._run_tool(str(self._folder / "out"))
        return found

    def check(self) -> None:
        """What was written by each opens, and is the same."""
        sealed = b"".join(our_file(self._in_memory(), self._recipient))
        identity = pyrage.x25519.Identity.from_str(self._identity.encode())
        assert pyrage.decrypt(sealed, [identity]) == self._data
        if self._tool is not None:
            self._run_tool(str(self._folder / "out"))
            sealed = (self._folder / "out").read_bytes()
            assert age.open_file(sealed, [self._identity]) == self._data

    def clear(self) -> None:
        """Take away what a round has written; not part of what is measured."""
        (self._folder / "out").unlink(missing_ok=True)
        self._store.delete(["sealed"])

    def _in_memory(self) -> Iterator[memoryview]:
        view = memoryview(self._data)
        return (view[at : at + PIECE] for at in range(0, len(view), PIECE))

    def _from_file(self) -> Iterator[memoryview]:
        with self._source.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                yield memoryview(piece)

    @staticmethod
    def _consume(pieces: Iterator[bytes]) -> None:
        for _ in pieces:
            pass

    def _keep(self, pieces: Iterator[bytes]) -> None:
        with (self._folder / "out").open("wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)
            os.fsync(file.fileno())

    def _store_it(self) -> None:
        self._store.put("sealed", our_file(self._from_file(), self._recipient))

    def _encrypt_in_memory(self) -> None:
        pyrage.encrypt(self._data, [self._theirs])

    def _run_tool(self, target: str, source: str | None = None) -> None:
        assert self._tool is not None
        source = source or str(self._source)
        command = [self._tool, "-r", str(self._recipient), "-o", target, source]
        subprocess.run(command, check=True, timeout=300)


def the_tool() -> str | None:
    """The `age` tool that there is."""
    return str(LABORATORY) if LABORATORY.exists() else shutil.which("age")


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second in one round: by the clock, and of one core, whoever's thread used it."""

    clock: float
    core: float


Rounds = dict[str, list[Rate]]
"""The rounds of each contender."""


def _core_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def timed(seal: Callable[[], None]) -> Rate:
    """One round of one contender."""
    begun, used = time.perf_counter(), _core_seconds()
    seal()
    clock, core = time.perf_counter() - begun, _core_seconds() - used
    return Rate(SIZE / clock, SIZE / max(core, 0.001))


def measure(contenders: Contenders, what: str, rounds: int) -> Rounds:
    """Those of one kind in alternating rounds, of which the first only warms."""
    everybody = {name: seal for (name, kept), seal in contenders.all().items() if kept == what}
    rates: Rounds = {name: [] for name in everybody}
    for number in range(rounds + 1):
        for name, seal in everybody.items():
            contenders.clear()
            rate = timed(seal)
            if number:
                rates[name].append(rate)
    return rates


def ratio(rates: Rounds, name: str, to: str, of: Callable[[Rate], float]) -> float:
    """The median of the rounds' ratios: what slows a round slows both."""
    pairs = zip(rates[name], rates[to], strict=True)
    return median(of(one) / of(other) for one, other in pairs)


def by_clock(rate: Rate) -> float:
    """Bytes a second."""
    return rate.clock


def by_core(rate: Rate) -> float:
    """Bytes a second of one core."""
    return rate.core


def show(what: str, rates: Rounds) -> None:
    """A table, the first of them the measure of the others."""
    first = next(iter(rates))
    print(f"{what:30} {'MB/s':>8} {'ratio':>6}   {'MB/s a core':>12} {'ratio':>6}")
    for name, rounds in rates.items():
        if name == START:
            clock, core = (SIZE / median(map(of, rounds)) * 1e3 for of in (by_clock, by_core))
            print(f"  {name:28} {clock:5,.1f} ms {'':6}   {core:9,.1f} ms")
            continue
        columns = [
            (median(map(of, rounds)) / 1e6, ratio(rates, name, first, of))
            for of in (by_clock, by_core)
        ]
        (clock, slower), (core, dearer) = columns
        print(f"  {name:28} {clock:8,.0f} {slower:6.2f}   {core:12,.0f} {dearer:6.2f}")


def main() -> int:
    """Prints the figures; 1 if one is missed."""
    tool = the_tool()
    version = "not available"
    if tool is not None:
        shown = subprocess.run([tool, "--version"], capture_output=True, check=True, timeout=20)
        version = shown.stdout.decode().strip()
    with tempfile.TemporaryDirectory(prefix="callguard-seal-") as folder:
        contenders = Contenders(Path(folder), tool)
        contenders.check()
        print(f"{SIZE >> 20} MiB, age {version}")
        rates = measure(contenders, MEMORY, ROUNDS)
        show(MEMORY, rates)
        show(FILES, measure(contenders, FILES, FILE_ROUNDS))
    share, core = (ratio(rates, OURS, BARE, of) for of in (by_clock, by_core))
    told = f"{share:.0%} of the bare cipher loop ({core:.0%} by the processor)"
    figures = {f"{told}, at least {SHARE_OF_BARE:.0%}": share >= SHARE_OF_BARE}
    if tool is not None:
        times, core = (ratio(rates, OURS, TOOL, of) for of in (by_clock, by_core))
        told = f"{times:.1f} x the age tool ({core:.1f} by the processor)"
        figures[f"{told}, at least {TIMES_THE_TOOL:g}"] = times >= TIMES_THE_TOOL
    for told, reached in figures.items():
        print(f"{'reached' if reached else 'MISSED ':8} {told}")
    return 0 if len(figures) == 2 and all(figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
