"""``callguard prompt``: what callers hear."""

import typer

from callguard.cli.surroundings import DEFAULT_CONFIG, ConfigOption, JsonOption, say, say_table
from callguard.config import Settings
from callguard.consent.prompts import PromptError, PromptLibrary, build
from callguard.consent.texts import shipped_texts

app = typer.Typer(help="Prompts: what callers hear.", no_args_is_help=True)


@app.command("build")
def build_prompts(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Speak all prompt texts anew."""
    settings = Settings.load(config)
    made = build(settings.prompt_folder, shipped_texts())
    say(as_json, [prompt.evidence for prompt in made], f"{len(made)} prompts spoken")


@app.command("list")
def list_prompts(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the prompts that can be played; fails if any of the folder is not whole."""
    library, faults = PromptLibrary.load(Settings.load(config).prompt_folder)
    rows: list[dict[str, object]] = [
        {
            "prompt": prompt.name,
            "language": prompt.language,
            "version": prompt.version,
            "ms": prompt.length_ms,
            "text": prompt.text,
            "sha256": prompt.sha256,
        }
        for prompt in library.all()
    ]
    say_table(as_json, rows, ("prompt", "language", "version", "ms", "text"), "Prompts")
    if faults:
        raise PromptError(faults[0])
