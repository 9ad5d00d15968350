"""``callguard policy override``, ``restore`` and ``overrides``: a tenant's own values for rules."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Annotated, get_args

import typer
from sqlalchemy import select

from callguard.cli.policy import app
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    require_tenant,
    say,
    say_table,
)
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.policy.overrides import Override, OverrideError, loosens
from callguard.policy.packs import all_packs
from callguard.policy.rules import OnUnknown, Rule
from callguard.policy.tables import plain
from callguard.storage.schema import tenant_rules
from callguard.tenants.rules import as_override, restore_rule, set_rule

__all__ = ("app",)  # the commands of policy, these among them

COLUMNS = ("rule", "change", "looser", "reason", "by", "at")
ON_UNKNOWN: tuple[OnUnknown, ...] = get_args(OnUnknown)
_SAID: dict[bool | str, str] = {True: "yes", False: "no"}


@app.command("override")
def override(
    tenant: str,
    rule: Annotated[str, typer.Argument(help="The rule's id.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Its settings, written as in a pack."),
    ] = None,
    on_unknown: Annotated[
        str | None, typer.Option(help="What missing facts do: pass or block.")
    ] = None,
    cause: Annotated[int | None, typer.Option(help="Q.850 cause of a call it blocks.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What such a caller hears.")] = None,
    disable: Annotated[bool, typer.Option("--disable", help="Take the rule away.")] = False,
    reason: Annotated[str, typer.Option(help="Why; a looser rule needs it.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Set a tenant's own values for a rule, in place of those it had; a running service follows
    within a second."""
    settings = _read(values or [])
    otherwise = (on_unknown, cause, prompt) != (None, None, None) or bool(settings)
    if disable and otherwise:
        raise CommandError("--disable takes the rule away: no values go with it")
    if not disable and not otherwise:
        raise CommandError("say what is to be otherwise, such as limit=2")
    wanted = Override(
        rule=rule,
        settings=settings,
        on_unknown=_on_unknown(on_unknown),
        cause=cause,
        prompt=prompt,
        disabled=disable,
        reason=reason.strip(),
    )
    with opened(config) as (chosen, database), database.writing() as connection:
        require_tenant(connection, tenant)
        now = SystemClock().now()
        looser = set_rule(connection, tenant, wanted, _rules(chosen), at=now, actor=actor())
        kept = select(tenant_rules.c.change).where(
            tenant_rules.c.tenant_id == tenant, tenant_rules.c.rule == rule
        )
        change = connection.execute(kept).scalar_one()
    value = {"tenant": tenant, "rule": rule, "change": change, "looser": looser}
    told = "looser than its pack has it" if looser else "no looser than its pack has it"
    say(as_json, value, plain(f"{tenant}: {rule}: {_words(change)}; {told}"))


@app.command("restore")
def restore(
    tenant: str,
    rule: Annotated[str, typer.Argument(help="The rule's id.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take a tenant's own values for a rule away, so that the pack's hold again."""
    with opened(config) as (_, database), database.writing() as connection:
        require_tenant(connection, tenant)
        restore_rule(connection, tenant, rule, at=SystemClock().now(), actor=actor())
    say(as_json, {"tenant": tenant, "rule": rule}, f"{tenant}: {rule} is as its pack has it")


@app.command("overrides")
def overrides(
    tenant: str, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List a tenant's own values for rules, with who set them and why."""
    with opened(config) as (chosen, database), database.reading() as connection:
        require_tenant(connection, tenant)
        rules = {rule.id: rule for rule in _rules(chosen)}
        mine = select(tenant_rules).where(tenant_rules.c.tenant_id == tenant)
        found = connection.execute(mine.order_by(tenant_rules.c.rule)).all()
    rows: list[dict[str, object]] = []
    for row in found:
        looser = _looser(rules, as_override(row.rule, row.change, row.reason))
        value = {"rule": row.rule, "by": row.actor, "at": row.at.isoformat(timespec="seconds")}
        if as_json:
            rows.append({**value, "change": row.change, "looser": looser, "reason": row.reason})
            continue
        told = {"change": plain(_words(row.change)), "reason": plain(row.reason)}
        rows.append({**value, **told, "looser": _SAID.get(looser, looser)})
    say_table(as_json, rows, COLUMNS, f"Rules of {tenant}")


def _rules(chosen: Settings) -> tuple[Rule, ...]:
    """Raises PackError."""
    packs = all_packs(chosen.policy.packs, chosen.policy.leave_out)
    return tuple(rule for pack in packs for rule in pack.rules)


def _read(values: Sequence[str]) -> dict[str, object]:
    """Raises CommandError."""
    settings: dict[str, object] = {}
    for text in values:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not key or not equals:
            raise CommandError(f"{text!r} is not KEY=VALUE, such as limit=2")
        if key in settings:
            raise CommandError(f"{key} is given twice")
        settings[key] = _value(value.strip())
    return settings


def _value(text: str) -> object:
    """A value as a pack writes it; what is none is text."""
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return read["value"] if set(read) == {"value"} else text


def _on_unknown(text: str | None) -> OnUnknown | None:
    if text is None:
        return None
    for one in ON_UNKNOWN:
        if one == text:
            return one
    raise CommandError(f"--on-unknown is {' or '.join(ON_UNKNOWN)}, not {text!r}")


def _looser(rules: Mapping[str, Rule], override: Override) -> bool | str:
    """Whether it is looser than its pack has it, or why it changes nothing."""
    rule = rules.get(override.rule)
    if rule is None:
        return "not applied: there is no such rule"
    try:
        return loosens(rule, override)
    except OverrideError as error:
        return f"not applied: {error}"


def _words(change: Mapping[str, object]) -> str:
    settings = change.get("settings")
    flat = {**(settings if isinstance(settings, dict) else {}), **change}
    flat.pop("settings", None)
    if flat.pop("disabled", False):
        return "taken away"
    return "; ".join(f"{key} = {_plain(value)}" for key, value in flat.items())


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
