"""``callguard policy``: which rules and limits there are, what each says, whether they can be
used."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from callguard.cli import limit_in_words, rule_in_words
from callguard.cli.surroundings import DEFAULT_CONFIG, CommandError, JsonOption, say, say_table
from callguard.config import Policy, Settings
from callguard.policy.limits import RetentionLimit
from callguard.policy.packs import Pack, PackError, all_packs, limits_of
from callguard.policy.review import Review, review
from callguard.policy.rules import Rule
from callguard.policy.scope import check_regions

app = typer.Typer(help="Policy: the rules by which calls are decided.", no_args_is_help=True)

MaybeConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="CALLGUARD_CONFIG",
        help=f"The settings file; {DEFAULT_CONFIG} if left out and there.",
    ),
]
COLUMNS = ("id", "pack", "kind", "title", "where", "since", "until", "status")


@app.command("list")
def list_rules(
    pack: Annotated[str, typer.Option(help="Only those of this pack.")] = "",
    region: Annotated[
        str, typer.Option(help="Only those that count there, such as GB or US-FL.")
    ] = "",
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only those in force on this day."),
    ] = None,
    config: MaybeConfig = None,
    as_json: JsonOption = False,
) -> None:
    """List the rules, and the limits to how long records are kept."""
    packs = _packs(_chosen(config))
    if pack and pack not in (names := sorted({one.name for one in packs})):
        raise CommandError(f"there is no pack {pack!r}; known: {', '.join(names)}")
    _check_place(region)
    rows = [
        _row(one, rule)
        for one, rule, _ in _rules(packs)
        if (not pack or one.name == pack)
        and (not region or _counts_in(rule, region))
        and (at is None or rule.in_force(at.date()))
    ]
    rows += [
        _limit_row(one, limit)
        for one, limit, _ in _limits(packs)
        if (not pack or one.name == pack)
        and (not region or not limit.regions or region.partition("-")[0] in limit.regions)
        and (at is None or limit.in_force(at))
    ]
    if not as_json:
        rows = [{**row, "where": rule_in_words.listed(row["where"], "everywhere")} for row in rows]
    say_table(as_json, rows, COLUMNS, "Rules")


@app.command("show")
def show(rule: str, config: MaybeConfig = None, as_json: JsonOption = False) -> None:
    """Show everything that is known of a rule or a limit."""
    packs = _packs(_chosen(config))
    for pack, limit, where in _limits(packs):
        if limit.id == rule:
            said = {**limit_in_words.as_json(limit), "pack": pack.name, "file": where}
            told = [*limit_in_words.lines(limit), f"pack: {pack.name} ({where})"]
            say(as_json, said, "\n".join(told))
            return
    for pack, found, where in _rules(packs):
        if found.id == rule:
            value = {**rule_in_words.as_json(found), "pack": pack.name, "file": where}
            lines = [*rule_in_words.lines(found), f"pack: {pack.name} ({where})"]
            say(as_json, value, "\n".join(lines))
            return
    raise CommandError(f"there is no rule {rule!r}")


@app.command("check")
def check(
    folder: Annotated[
        Path | None, typer.Argument(help="Packs of your own; the settings' if left out.")
    ] = None,
    config: MaybeConfig = None,
    as_json: JsonOption = False,
) -> None:
    """Check the packs: every fault with its file and line, then overlaps and gaps."""
    try:
        packs = _packs(_chosen(config), folder)
    except PackError as error:
        say(as_json, {"faults": list(error.faults)}, "\n".join(error.faults))
        raise typer.Exit(1) from error
    found = review(rule for _, rule, _ in _rules(packs))
    odd = [*map(str, found.overlaps), *map(str, found.gaps)]
    say(as_json, _figures(found, packs), "\n".join([_summary(found, packs), *odd]))
    if not found.sound:
        raise typer.Exit(1)


def _chosen(config: Path | None) -> Policy:
    """What the settings choose; without any, the shipped packs."""
    if config is None and not DEFAULT_CONFIG.exists():
        return Policy()
    return Settings.load(config or DEFAULT_CONFIG).policy


def _packs(chosen: Policy, folder: Path | None = None) -> tuple[Pack, ...]:
    return all_packs(folder or chosen.packs, chosen.leave_out)


def _rules(packs: tuple[Pack, ...]) -> Iterator[tuple[Pack, Rule, str]]:
    for pack in packs:
        for index, rule in enumerate(pack.rules):
            yield pack, rule, pack.where(index)


def _limits(packs: tuple[Pack, ...]) -> Iterator[tuple[Pack, RetentionLimit, str]]:
    for pack in packs:
        for index, limit in enumerate(pack.limits):
            yield pack, limit, pack.where_limit(index)


def _limit_row(pack: Pack, limit: RetentionLimit) -> dict[str, object]:
    return {
        "id": limit.id,
        "pack": pack.name,
        "kind": limit.bound,
        "title": limit.title,
        "where": sorted(limit.regions),
        "since": limit.effective_from.isoformat(),
        "until": _day(limit.effective_to),
        "status": limit.status,
    }


def _row(pack: Pack, rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "pack": pack.name,
        "kind": rule.kind,
        "title": rule.title,
        "where": sorted(rule.scope.subdivisions or rule.scope.regions),
        "since": rule.effective_from.isoformat(),
        "until": _day(rule.effective_to),
        "status": rule.status,
    }


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _check_place(place: str) -> None:
    if place:
        try:
            check_regions([place.partition("-")[0]])
        except ValueError as error:
            raise CommandError(str(error)) from error


def _counts_in(rule: Rule, place: str) -> bool:
    """Whether the rule is about subjects there; one of no place is about them everywhere."""
    region, _, part = place.partition("-")
    if rule.scope.regions and region not in rule.scope.regions:
        return False
    return not part or not rule.scope.subdivisions or place in rule.scope.subdivisions


def _summary(found: Review, packs: tuple[Pack, ...]) -> str:
    limits = limits_of(packs)
    proved = sum(limit.status == "verified" for limit in limits)
    return (
        f"{found.rules} rules in {len(packs)} packs, "
        f"{found.verified} verified, {found.unverified} unverified; "
        f"{len(limits)} limits, {proved} verified, {len(limits) - proved} unverified"
    )


def _figures(found: Review, packs: tuple[Pack, ...]) -> dict[str, object]:
    limits = limits_of(packs)
    return {
        "rules": found.rules,
        "packs": len(packs),
        "verified": found.verified,
        "unverified": found.unverified,
        "limits": len(limits),
        "limits_unverified": sum(limit.status == "unverified" for limit in limits),
        "overlaps": [str(overlap) for overlap in found.overlaps],
        "gaps": [str(gap) for gap in found.gaps],
    }
