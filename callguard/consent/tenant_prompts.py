"""Which prompts each tenant needs, and what to run where they are not there."""

from collections import defaultdict
from collections.abc import Iterable

from callguard.consent.prompt import Digits
from callguard.consent.prompts import PromptLibrary
from callguard.consent.texts import PROMPTS, shipped_texts
from callguard.tenants.tenant import Tenant, TenantSettings

NEEDED = tuple(name for name in PROMPTS if not name.startswith(("line-", "callback-", "digit-")))
"""What a call may say; the opt-out line looks after its own."""

MOST_TOLD = 10
"""Of so many tenants the alarms tell by name; the rest are counted."""


def chosen_digits(settings: TenantSettings) -> Digits:
    """The keys that answer the tenant's prompts."""
    return Digits(settings.accept_digit, settings.refuse_digit, settings.opt_out_digit)


def languages_of(settings: TenantSettings) -> tuple[str, ...]:
    """Every language in which the tenant speaks."""
    return tuple(dict.fromkeys((settings.language, *settings.languages)))


def prompt_alarms(library: PromptLibrary, tenants: Iterable[Tenant]) -> tuple[str, ...]:
    """One line for each manifest and prompt that is not whole, and for each language and choice of
    digits without a prompt, with the command to run."""
    lacks: dict[tuple[str, str], list[str]] = defaultdict(list)
    seen: dict[tuple[str, str, Digits], tuple[str, ...]] = {}
    for tenant in tenants:
        digits = chosen_digits(tenant.settings)
        own = tenant.id if library.has_own(tenant.id) else ""
        for language in languages_of(tenant.settings):
            key = (own, language, digits)
            if key not in seen:
                seen[key] = tuple(
                    n for n in NEEDED if library.find(n, language, own, digits) is None
                )
            if seen[key]:
                lacks[_lack(library, tenant.id, language, digits, seen[key])].append(tenant.id)
    told = [
        f"{what} ({_named(whose)}): run callguard {command}"
        for (what, command), whose in lacks.items()
    ]
    return (*(f"prompt: {fault}" for fault in library.faults), *told)


def _lack(
    library: PromptLibrary, tenant: str, language: str, digits: Digits, names: tuple[str, ...]
) -> tuple[str, str]:
    """What cannot be said, and what to run."""
    tongue = language.split("-")[0]
    add = f"prompt add {names[0]} --language {language} --tenant {tenant} FILE --text WORDS"
    if not any(text.language == tongue for text in shipped_texts()):
        return f"prompts in {language} are missing: {', '.join(names)}", add
    if all(library.find(name, language, "", digits) for name in names):
        return f"{tenant}'s own prompts in {language} are broken: {', '.join(names)}", add
    if any(library.find(name, language) is None for name in names):
        missing = ", ".join(names)
        return f"prompts in {tongue} are missing: {missing}", f"prompt build --language {tongue}"
    what = f"no prompt in {tongue} names the keys {digits}: {', '.join(names)}"
    return what, f"prompt build --tenant {tenant}"


def _named(tenants: list[str]) -> str:
    more = len(tenants) - MOST_TOLD
    return ", ".join(tenants[:MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
