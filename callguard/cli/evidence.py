"""Where a proof is, as it is typed."""

import hashlib
import mimetypes
from pathlib import Path

from callguard.cli.surroundings import CommandError


def evidence_of(proof: str) -> str:
    """What is kept of it: the text, or the name and the SHA-256 of the file that ``@FILE`` names.
    Raises CommandError, OSError."""
    if not proof.startswith("@"):
        return proof.strip()
    file = _file(proof)
    with file.open("rb") as source:
        return f"{file.name} sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"


def proof_of(proof: str) -> str:
    """As ``evidence_of``, of a file also its size and, by its name, its media type: enough to know
    it again, wherever it is kept. Raises CommandError, OSError."""
    kept = evidence_of(proof)
    if not proof.startswith("@"):
        return kept
    file = _file(proof)
    size = file.stat().st_size
    if not size:
        raise CommandError(f"the file {str(file)!r} is empty and proves nothing")
    media, _ = mimetypes.guess_type(file.name)
    return f"{kept} {size} bytes{f' {media}' if media else ''}"


def _file(proof: str) -> Path:
    file = Path(proof[1:])
    if not file.is_file():
        raise CommandError(f"there is no file {str(file)!r}")
    return file
