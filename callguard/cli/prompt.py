"""``callguard prompt``: what callers hear."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from callguard.audit.log import Entry, append
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
    say_table,
)
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.consent.manifest import check_language
from callguard.consent.own_audio import convert
from callguard.consent.own_prompt import as_told, as_written, check_name, enter, parse_digits
from callguard.consent.prompts import SHARED, Prompt, PromptError, PromptLibrary
from callguard.consent.speech import Told, build
from callguard.consent.tenant_prompts import chosen_digits, languages_of
from callguard.consent.texts import PromptText, shipped_texts
from callguard.storage.database import Database
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import Tenant, check_id

app = typer.Typer(help="Prompts: what callers hear.", no_args_is_help=True)

_COLUMNS = ("tenant", "prompt", "language", "version", "digits", "ms", "source", "sha256")
_SHOWN = 12
"""So many digits of a SHA-256 tell prompts apart in a table."""


@app.command("build")
def build_prompts(
    language: Annotated[
        list[str] | None, typer.Option(help="Only this language; repeatable.")
    ] = None,
    tenant: Annotated[
        str, typer.Option(help="Speak the prompts that name this tenant's own digits.")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Speak the prompts that are not there yet, or whose words are new."""
    languages = set(language or ())
    if unknown := sorted(languages - {text.language for text in shipped_texts()}):
        raise CommandError(f"there are no texts in {', '.join(unknown)}")
    if tenant:
        with opened(config) as (settings, database):
            texts = _texts_of(_tenant(database, tenant), languages)
    else:
        settings = Settings.load(config)
        texts = [t for t in shipped_texts() if not languages or t.language in languages]
    with _progress() as progress:
        built = build(settings.prompt_folder, texts, tenant, progress)
    there = len(built.prompts) - built.spoken
    told = f"{built.spoken} prompts spoken, {there} were there"
    if not texts:
        told = f"the shared prompts name {tenant}'s digits: there is nothing to speak"
    say(as_json, [prompt.evidence for prompt in built.prompts], told)


@contextmanager
def _progress() -> Iterator[Told]:
    """A progress bar on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("speaking", total=None, start=False)

        def told(done: int, whole: int) -> None:
            bar.start_task(task)
            bar.update(task, completed=done, total=whole)

        yield told


def _texts_of(tenant: Tenant, languages: set[str]) -> list[PromptText]:
    """The texts that name another key for this tenant than for all."""
    spoken = languages or {tongue.split("-")[0] for tongue in languages_of(tenant.settings)}
    return [
        text
        for text in shipped_texts(chosen_digits(tenant.settings))
        if text.language in spoken and not text.digits.suit(SHARED)
    ]


def _tenant(database: Database, tenant: str) -> Tenant:
    """Raises CommandError, TenantError."""
    directory = TenantDirectory()
    with database.reading() as connection:
        directory.refresh(connection)
    found = directory.get(check_id(tenant))
    if found is None:
        raise CommandError(f"there is no tenant {tenant}")
    return found


@app.command("add")
def add_prompt(
    name: Annotated[str, typer.Argument(help="Which prompt it is, such as notice or ask.")],
    file: Annotated[Path, typer.Argument(help="The recording, in any format that sox reads.")],
    language: Annotated[str, typer.Option(help="The language that is spoken in it.")],
    tenant: Annotated[str, typer.Option(help="Whose own recording it is.")],
    text: Annotated[str, typer.Option(help="The words that are spoken in it.")] = "",
    written: Annotated[
        bool, typer.Option("--as-written", help="The shipped words are what is spoken in it.")
    ] = False,
    digits: Annotated[
        str,
        typer.Option(
            help="The keys that it names, in the order accept, refuse, opt out, such as 1,2,9;"
            " the tenant's if left out."
        ),
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Put a tenant's own recording in the place of a shared prompt."""
    check_name(name)
    check_language(language)
    if written == bool(text):
        raise CommandError("say what is spoken: either --text WORDS or --as-written")
    with opened(config) as (settings, database):
        chosen = chosen_digits(_tenant(database, tenant).settings)
        named = parse_digits(name, digits) if digits else None
        if written:
            words = as_written(name, language, tenant, named or chosen)
        else:
            words = as_told(name, language, tenant, text, named, chosen)

        def note(prompt: Prompt) -> None:
            with database.writing() as connection:
                append(connection, _entry(prompt))

        prompt = enter(settings.prompt_folder, words, convert(file, name), note)
    told = f"{prompt.name} in {prompt.language} is now {tenant}'s own, version {prompt.version}"
    if not prompt.digits.suit(chosen):
        told += f"; it is not played while its keys ({prompt.digits}) are not the tenant's"
    say(as_json, _row(prompt), told)


def _entry(prompt: Prompt) -> Entry:
    return Entry(
        at=SystemClock().now(),
        actor=actor(),
        action="prompt.add",
        target=f"{prompt.language}/{prompt.name}-{prompt.version}",
        tenant=prompt.tenant,
        details={
            "sha256": prompt.sha256,
            "ms": prompt.length_ms,
            "digits": str(prompt.digits),
            "text": prompt.text,
        },
    )


@app.command("list")
def list_prompts(
    language: Annotated[
        list[str] | None, typer.Option(help="Only this language; repeatable.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Only this tenant's own.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the prompts that can be played; fails if any of the folder is not whole."""
    library, faults = PromptLibrary.load(Settings.load(config).prompt_folder)
    rows = [
        _row(prompt)
        for prompt in library.all()
        if (not language or prompt.language in language) and (not tenant or prompt.tenant == tenant)
    ]
    shown = rows if as_json else [{**row, "sha256": str(row["sha256"])[:_SHOWN]} for row in rows]
    say_table(as_json, shown, _COLUMNS, "Prompts")
    if faults:
        raise PromptError(faults[0])


def _row(prompt: Prompt) -> dict[str, object]:
    return {
        "tenant": prompt.tenant,
        "prompt": prompt.name,
        "language": prompt.language,
        "version": prompt.version,
        "digits": str(prompt.digits),
        "ms": prompt.length_ms,
        "source": prompt.source,
        "text": prompt.text,
        "sha256": prompt.sha256,
    }
