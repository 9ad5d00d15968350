"""Where a proof is, as it is typed."""

import hashlib
from pathlib import Path

from callguard.cli.surroundings import CommandError


def evidence_of(proof: str) -> str:
    """What is kept of it: the text, or the name and the SHA-256 of the file that ``@FILE`` names.
    Raises CommandError, OSError."""
    if not proof.startswith("@"):
        return proof.strip()
    file = Path(proof[1:])
    if not file.is_file():
        raise CommandError(f"there is no file {str(file)!r}")
    with file.open("rb") as source:
        return f"{file.name} sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"
