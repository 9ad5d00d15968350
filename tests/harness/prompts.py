"""How long a prompt is: given by the test, or read from the sound file itself."""

import wave
from collections.abc import Callable, Mapping
from pathlib import Path

_BYTES_PER_SAMPLE = {".sln": 2, ".ulaw": 1, ".ul": 1, ".alaw": 1, ".al": 1}


class Prompts:
    """The sounds that the simulated Asterisk has.

    ``lengths`` maps a name to its samples at 8 kHz; any other name is looked for as a file, with
    the extension that Asterisk would add.
    """

    def __init__(self, lengths: Mapping[str, int], host_path: Callable[[str], Path | None]) -> None:
        self.lengths = dict(lengths)
        self._host_path = host_path

    def samples(self, name: str) -> int | None:
        """The length at 8 kHz, or None when Asterisk would not find the file."""
        if name in self.lengths:
            return self.lengths[name]
        base = self._host_path(name)
        if base is None:
            return None
        for suffix, width in _BYTES_PER_SAMPLE.items():
            file = base.with_name(base.name + suffix)
            if file.is_file():
                return file.stat().st_size // width
        file = base.with_name(base.name + ".wav")
        if file.is_file():
            with wave.open(str(file), "rb") as sound:
                return sound.getnframes() * 8000 // sound.getframerate()
        return None
