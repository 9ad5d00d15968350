"""What has expired is gone for every reader at once: whoever selects from a table with a date asks
``alive``, or stands in the list of those who need not, with the reason."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import callguard
from callguard.storage.schema import metadata

ROOT = Path(callguard.__file__).parent
DATED = {table.name for table in metadata.tables.values() if "expires_at" in table.c}
SELECTS = {"select", "join", "outerjoin", "select_from", "exists"}
ROOMS = {
    "retention/": "purges, holds, dates, archives, restores: what has expired is its business",
    "recording/rekeying/": "a header is wrapped for the new key as long as there is one",
    "recording/traces.py": "it erases",
    "recording/erasure.py": "it erases",
}

EXEMPT = {
    "cdr/joining.py:_states": "judges each row by ``time_seen`` once it is read",
    "cdr/joining.py:joined": "judges each row by ``time_seen`` once it is read",
    "cdr/legs.py:read_call": "asks it of both tables in turn",
    "cdr/reading.py:count": "how far a page has to look, for the progress bar: no row is shown",
    "cdr/store.py:_known": "writes: one record a leg, once",
    "cdr/store.py:_tell_contacts": "writes: only whose exchange it was",
    "cdr/store.py:_verdicts": "writes: the record of a call that has just ended",
    "cdr/only_stored.py:restricted": "a restriction binds as long as it is there",
    "cli/erase.py:_keep": "until when it is kept that something was erased",
    "consent/given.py:_withdrawn_at": "a withdrawal binds as long as it is there",
    "consent/given.py:withdraw": "writes: dates the evidence of what is ended",
    "contacts/exchange.py:exchanged": "writes, and asks for itself what had expired by then",
    "contacts/store.py:_ONE": "judged by whoever asks, once it is read",
    "contacts/store.py:enter": "writes what is known now",
    "gate/callbook.py:read_call": "a call under way, whatever its verdict's date",
    "gate/kept.py:Kept.read_contacts": "by ``_known``, which asks it",
    "gate/kept.py:_ATTEMPTS": "a cap counts what was attempted, as long as it is there",
    "gate/live_state.py:_last_consents": "of calls under way",
    "gate/recording_log.py:_enter": "writes: no event twice",
    "gate/revoked.py:revoked_after": "what was withdrawn a moment ago",
    "gate/told.py:_withdrawn_elsewhere": "a withdrawal binds as long as it is there",
    "gate/told.py:read_told": "of calls under way",
    "gate/withdrawals.py:enter": "writes: no withdrawal twice",
    "optout/claims.py:calls_placed": "a cap counts what was attempted, as long as it is there",
    "optout/claims.py:file_claim": "who refused is left alone as long as that is known",
    "optout/claims.py:find_claim": "one that is pending has no date",
    "optout/claims.py:pending_claims": "one that is pending has no date",
    "optout/registry/shelving.py:_referred": "a snapshot stays while any row refers to it",
    "recording/closing.py:Closer._row": "writes: a recording is closed whatever its date",
    "recording/delivery/attempt.py:begin": "judges the recording by ``time_seen``",
    "recording/delivery/attempt.py:fail": "judges the recording by ``time_seen``",
    "recording/delivery/due.py:enter": "writes: no delivery twice",
    "recording/delivery/due.py:find_new": "no delivery twice; of recordings it asks",
    "recording/delivery/due.py:find_next": "work that is left; ``begin`` closes what has expired",
    "recording/delivery/due.py:is_any": "whether work is left",
    "recording/delivery/giving.py:may_go": "judges the recording by ``time_seen``",
    "recording/delivery/store.py:retry": "writes; ``begin`` closes what has expired",
    "recording/events.py:read_wishes": "of recordings under way",
    "recording/live.py:LiveSealing._read": "of recordings under way",
    "recording/playback/admission.py:_subjects": "whose voice it is tells also an expired row",
    "recording/playback/admission.py:consider": "the rules judge it, by ``time_seen``",
    "recording/playback/admission.py:note_refusal": "writes: whose recording was refused",
    "recording/recorder.py:Recorder.load": "of recordings under way",
    "recording/recorder.py:_read": "what is sealed or erased, whatever its date",
    "recording/sealer.py:_read_closing": "a recording is closed whatever its date",
    "storage/attempts.py:_EARLIER": "a cap counts what was attempted, as long as it is there",
    "web/scrub_job.py:held": "what a hold keeps from being swept",
    "web/scrub_job.py:read": "``ScrubJobs.get`` judges each by ``latest``",
}


def scopes(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Functions, methods and the statements outside of them, each with a name."""
    for node in tree.body:
        match node:
            case ast.ClassDef():
                for inner in node.body:
                    yield f"{node.name}.{getattr(inner, 'name', 'body')}", inner
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node
            case ast.Assign(targets=[ast.Name(id=name), *_]):
                yield name, node
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node
            case _:
                yield "module", node


def called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "id", getattr(function, "attr", ""))


def tables_of(tree: ast.Module) -> dict[str, str]:
    """Under which names a module knows the tables with a date."""
    return {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "callguard.storage.schema"
        for alias in node.names
        if alias.name in DATED
    }


def arguments_of(nodes: list[ast.AST]) -> set[str]:
    """The arguments that are tables."""
    return {
        node.arg
        for node in nodes
        if isinstance(node, ast.arg)
        and node.annotation is not None
        and ast.unparse(node.annotation) == "Table"
    }


def asked_in(nodes: list[ast.AST]) -> set[str]:
    """What is asked whether it is alive, by the names that it has there."""
    return {
        ast.unparse(one)
        for node in nodes
        if isinstance(node, ast.Call) and called(node) == "alive"
        for one in node.args
    }


def unasked(source: str) -> dict[str, set[str]]:
    """By scope the tables that are selected from without being asked whether the row is alive; a
    table that is an argument is ``Table``."""
    tree = ast.parse(source)
    known = tables_of(tree)
    inside = [(name, list(ast.walk(scope))) for name, scope in scopes(tree)]
    asking = {name for name, nodes in inside if arguments_of(nodes) & asked_in(nodes)}
    found: dict[str, set[str]] = {}
    for name, nodes in inside:
        if not any(called(node) in SELECTS for node in nodes):
            continue
        used = {known[n.id] for n in nodes if isinstance(n, ast.Name) and n.id in known}
        used |= {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "schema"
        } & DATED
        arguments = arguments_of(nodes)
        asked = {known.get(one, one) for one in asked_in(nodes)}
        for node in nodes:
            if isinstance(node, ast.Call) and called(node) in asking:  # which asks for us
                asked |= {known.get(ast.unparse(one), "") for one in node.args}
            if called(node) == "visible":
                asked.add("recordings")
        missing = used - asked | ({"Table"} if arguments - asked else set())
        if missing:
            found[name] = missing
    return found


def found_in_callguard() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("storage/migrations/") and not name.startswith(tuple(ROOMS)):
            found |= {f"{name}:{scope}": why for scope, why in unasked(path.read_text()).items()}
    return found


def test_every_reader_asks_whether_the_row_is_alive_or_says_why_not() -> None:
    found = found_in_callguard()
    assert {where: tables for where, tables in found.items() if where not in EXEMPT} == {}
    assert set(EXEMPT) - set(found) == set(), "these need no exemption any more"


def written_out(source: str) -> set[str]:
    """The tables with a date that statements name which are written out as text."""
    words = {
        word
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and called(node) in {"text", "exec_driver_sql"}
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
        for word in re.findall(r"\w+", part.value)
    }
    return words & DATED


def test_no_statement_is_written_out_that_reads_a_table_with_a_date() -> None:
    assert written_out('c.execute(text("SELECT 1 FROM calls WHERE 1"))') == {"calls"}
    assert written_out('c.exec_driver_sql(f"SELECT 1 FROM consents, {x}")') == {"consents"}
    for path in sorted(ROOT.rglob("*.py")):
        if not path.relative_to(ROOT).as_posix().startswith("storage/migrations/"):
            assert written_out(path.read_text()) == set(), path


def test_a_reader_that_does_not_ask_is_found() -> None:
    head = "from callguard.storage.schema import calls as kept, consents\n"
    asks = "def f(c, now): return c.execute(select(kept).where(alive(kept, now)))\n"
    assert unasked(head + asks) == {}
    assert unasked(head + asks.replace("alive(kept, now)", "True")) == {"f": {"calls"}}
    other = "select(kept).join(consents).where(alive(kept, now))"
    assert unasked(f"{head}def f(c, now): return {other}\n") == {"f": {"consents"}}
    assert unasked(f"{head}class A:\n    def b(self): return select(kept.c.id)\n") == {
        "A.b": {"calls"}
    }
    assert unasked(f"{head}_ALL = select(consents)\n") == {"_ALL": {"consents"}}
    assert unasked("def f(table: Table): return select(table)\n") == {"f": {"Table"}}
    assert unasked("def f(): return select(schema.calls)\n") == {"f": {"calls"}}
