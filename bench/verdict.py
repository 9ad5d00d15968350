"""What a verdict costs: the pure evaluation, and the whole of it over FastAGI, durable.

The pure part is measured on real calls with the shipped packs, and on forty rules that are all
about one call: those of the packs that are, and as many again of them under other names as it
takes. The whole is measured beside a do-nothing FastAGI server in the same run, in alternating
rounds (see ``bench.gate``).
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import cycle

from bench.gate import CONTENDERS, measure, serve_bare, serve_bare_uvloop, serve_full_gate
from callguard.policy.facts import Attempt, CallFacts, GivenConsent, Purpose, RegistryAnswer
from callguard.policy.numbers import parse_number
from callguard.policy.packs import shipped_packs
from callguard.policy.place import place_of
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Rule

RULES = 40
ROUNDS = 2_000
TARGET_US = 60.0
TARGET_SHARE = 1 / 3
TARGET_P99_MS = 15.0

NOON = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)


def a_call(number: str, caller: str, purpose: Purpose) -> CallFacts:
    """A call of which something is known: two earlier attempts, a consent, the registries."""
    called, shown = parse_number(number, "US"), parse_number(caller, "US")
    attempts = tuple(Attempt(NOON - timedelta(days=day), "acme", purpose) for day in (2, 40))
    lists = ("us-dnc", "gb-tps", "gb-ctps", "il-dnc", "ca-dncl", "au-dncr", "fr-bloctel")
    return CallFacts(
        at=NOON,
        tenant="acme",
        direction="outbound",
        purpose=purpose,
        subject=called,
        caller=shown,
        called=called,
        place=place_of(called),
        home_region=shown.region,
        attempts=attempts,
        consents=(GivenConsent("marketing", NOON - timedelta(days=9), proof="form"),),
        registries=tuple(RegistryAnswer(name, False, date(2026, 11, 20)) for name in lists),
    )


CALLS = {
    "Florida, marketing": a_call("+13055550123", "+12025550101", "marketing"),
    "France, marketing": a_call("+33142345678", "+33142345679", "marketing"),
    "France, collection": a_call("+33142345678", "+33142345679", "collection"),
    "Germany, service": a_call("+4930123456", "+4930123457", "service"),
}


def forty(facts: CallFacts, book: Rulebook) -> list[Rule]:
    """So many rules that are all about the call."""
    about = [rule for rule in book.about(facts) if rule.scope.covers(facts)]
    about = [rule for rule in about if rule.in_force_on_any(facts.days)]
    return [
        replace(rule, id=f"{rule.id}.{number}")
        for number, rule in zip(range(RULES), cycle(about), strict=False)
    ]


def microseconds(work: Callable[[], object]) -> float:
    """The median time of one run."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1_000


def pure() -> float:
    """Prints what each call costs; the figure of forty rules, the dearest call."""
    book = Rulebook(rule for pack in shipped_packs() for rule in pack.rules)
    print(f"{f'pure, of {len(book.rules)} rules in the packs':44} {'findings':>8} {'us':>8}")
    worst = 0.0
    for name, facts in CALLS.items():
        found = book.decide(facts).findings
        took = microseconds(lambda facts=facts: book.decide(facts))  # type: ignore[misc] # mypy cannot type a lambda's defaults
        print(f"{name:44} {len(found):8} {took:8.1f}")
    for name, facts in CALLS.items():
        forty_of_it = Rulebook(forty(facts, book))
        told = len(forty_of_it.decide(facts).findings)
        took = microseconds(lambda facts=facts, some=forty_of_it: some.decide(facts))  # type: ignore[misc] # as above
        worst = max(worst, took)
        print(f"{f'{name}, {RULES} rules about it':44} {told:8} {took:8.1f}")
    return worst


def main() -> int:
    """Prints both parts; 1 if a figure is missed."""
    worst = pure()
    print()
    wanted = (serve_bare, serve_bare_uvloop, serve_full_gate)
    loads = measure([contender for contender in CONTENDERS if contender.serve in wanted])
    bare, whole = loads[CONTENDERS[0].name], loads[CONTENDERS[-1].name]
    share = statistics.median(w.rate / b.rate for w, b in zip(whole, bare, strict=True))
    p99 = statistics.median(load.p99 for load in whole)
    figures = {
        f"{RULES} rules: {worst:.1f} us, at most {TARGET_US:g}": worst <= TARGET_US,
        f"whole: {share:.2f} of do-nothing, at least {TARGET_SHARE:.2f}": share >= TARGET_SHARE,
        f"whole: p99 {p99:.1f} ms, at most {TARGET_P99_MS:g}": p99 <= TARGET_P99_MS,
    }
    print()
    for told, reached in figures.items():
        print(f"{'reached' if reached else 'MISSED ':8} {told}")
    return 0 if all(figures.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
