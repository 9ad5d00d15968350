"""``callguard init``: everything a new callguard needs, once and again without harm."""

import secrets
from pathlib import Path
from typing import Annotated

import typer
from phonenumbers import SUPPORTED_REGIONS

from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    say,
)
from callguard.config import Settings
from callguard.consent.speech import build
from callguard.consent.texts import shipped_texts
from callguard.recording.keyring import make_keyring
from callguard.recording.store.opening import open_store
from callguard.retention.backup.marker import require_not_restoring
from callguard.storage.database import Database
from callguard.storage.migrate import upgrade
from callguard.web.token import TokenError, new_token, read_token

_CONFIG = """\
# callguard's settings; see docs/install.md. Secrets are named by file, never written here.
data = {data}
home_region = {region}

[[asterisk]]
name = "asterisk"
host = "127.0.0.1"
port = 5038
username = "callguard"
secret_file = {secret}
cdr_file = "/var/log/asterisk/cdr-custom/callguard.csv"
# The endpoints behind which the world is: who speaks there is recorded only once told.
# trunks = ["PJSIP/carrier"]
# Where this Asterisk sees the spool and the prompts, if under other paths:
# spool = "/dev/shm/callguard"
# prompts = "/var/lib/callguard/prompts"

[purge]
at = "02:30"
"""


def init(
    config: ConfigOption = DEFAULT_CONFIG,
    data: Annotated[Path, typer.Option(help="Where callguard keeps its data.")] = Path(
        "/var/lib/callguard"
    ),
    region: Annotated[str, typer.Option(help="The operator's country, such as GB.")] = "GB",
    prompts: Annotated[bool, typer.Option(help="Also speak the prompts.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Create settings, master key, API token, database, folders and prompts; keep what is there."""
    if region not in SUPPORTED_REGIONS:
        raise CommandError(f"{region!r} is not a region of the telephone numbering plans")
    made = []
    if not config.exists():
        made += _write_config(config, data.absolute(), region)
    settings = Settings.load(config)
    require_not_restoring(settings)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    made += map(str, make_keyring(settings))
    made += _write_token(settings.api_token)
    database = Database(settings.database_url)
    upgrade(database)
    database.close()
    open_store(settings)
    if prompts and build(settings.prompt_folder, shipped_texts()).spoken:
        made.append(str(settings.prompt_folder))
    say(as_json, {"config": str(config), "made": made}, f"ready: {config}")


def _write_config(config: Path, data: Path, region: str) -> list[str]:
    config.parent.mkdir(parents=True, exist_ok=True)
    secret = config.parent / "manager.secret"
    made = [str(config)]
    if not secret.exists():
        _write_new(secret, secrets.token_hex(24) + "\n", 0o600)
        made.append(str(secret))
    text = _CONFIG.format(
        data=_quoted(str(data)), region=_quoted(region), secret=_quoted(str(secret.absolute()))
    )
    _write_new(config, text, 0o644)
    return made


def _write_token(file: Path) -> list[str]:
    try:
        if read_token(file) is not None:
            return []
    except TokenError as error:
        raise CommandError(f"the API token {file}: {error}") from error
    _write_new(file, f"{new_token()}\n", 0o600)
    return [str(file)]


def _write_new(path: Path, text: str, mode: int) -> None:
    """Writes a file that is then there whole, whatever cuts the writing short."""
    draft = path.with_name(f"{path.name}.part")
    draft.unlink(missing_ok=True)
    draft.touch(mode=mode)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if any(ord(c) < 32 for c in escaped):
        raise CommandError("a path has a control character in it")
    return f'"{escaped}"'
