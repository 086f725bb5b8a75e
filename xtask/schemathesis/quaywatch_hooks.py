"""What the document of the API says in words: how to make values of its own formats.

A regular expression describes instants and spans. It cannot describe the query language, cursors,
nor that one parameter must lie before another.
"""

import base64
import re
import time
from datetime import datetime, timedelta

import schemathesis
from hypothesis import strategies as st

FIELDS = ["rule", "priority", "container.name", "container", "number", "proc.name", "k8s.pod.label[app]", "tags", "time"]
WORDS = st.from_regex(r"\A[a-zA-Z0-9_./]{1,12}\Z").filter(lambda word: word.lower() not in ("and", "or", "not"))
# A character that a query string cannot carry as text is no part of a value.
QUOTED = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=12)
PRIORITIES = ["Emergency", "alert", "Critical", "Error", "WARNING", "Notice", "info", "Debug"]


def values():
    quoted = st.tuples(WORDS, QUOTED).map(lambda parts: f'"{parts[0]}{parts[1]}"')
    return st.one_of(WORDS, quoted, WORDS.map(lambda word: f"*{word}*"), WORDS.map(lambda word: f"{word}*"))


def terms():
    named = st.sampled_from(["rule", "container.name", "number", "proc.name", "_x-y[a/b]"])
    return st.one_of(
        st.just("*"),
        values(),
        st.tuples(named, st.sampled_from([":", "=", "==", "!=", ":~", "=~"]), WORDS).map("".join),
        st.tuples(named, st.sampled_from([":", "!="]), st.lists(WORDS, min_size=1, max_size=3)).map(
            lambda parts: f"{parts[0]}{parts[1]}({' or '.join(parts[2])})"
        ),
        st.tuples(st.sampled_from([":", "!=", ">=", "<", ">", "<="]), st.sampled_from(PRIORITIES)).map(
            lambda parts: f"priority{parts[0]}{parts[1]}"
        ),
        st.tuples(st.sampled_from([">=", "<"]), st.integers(-(2**63), 2**63 - 1)).map(
            lambda parts: f"number{parts[0]}{parts[1]}"
        ),
        st.just("time>=2026-11-21T09:00:00Z"),
        st.sampled_from(["fd.sip:10.0.0.0/8", "category:process", "number:*", "k8s.pod.name:*"]),
    )


def queries():
    def larger(smaller):
        return st.one_of(
            st.tuples(smaller, st.sampled_from([" ", " and ", " OR "]), smaller).map("".join),
            smaller.map(lambda query: f"not {query}"),
            smaller.map(lambda query: f"({query})"),
            smaller.map(lambda query: f"-({query})"),
        )

    return st.one_of(st.just(""), st.recursive(terms(), larger, max_leaves=6))


def sealed(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


NANOSECONDS = st.integers(-(2**63), 2**63 - 1)
EVENT_CURSORS = st.tuples(NANOSECONDS, st.integers(0, 2**64 - 1)).map(lambda place: sealed(f"{place[0]}.{place[1]}"))
CONTAINER_CURSORS = st.tuples(WORDS, WORDS).map(lambda place: sealed("\0".join(place)))

schemathesis.openapi.format("query", queries())
schemathesis.openapi.format("event-cursor", st.one_of(st.just(""), EVENT_CURSORS))
schemathesis.openapi.format("container-cursor", st.one_of(st.just(""), CONTAINER_CURSORS))
schemathesis.openapi.format("profile-cursor", st.one_of(st.just(""), WORDS.map(sealed)))
# Which numbers such a cursor holds depends on the order, and on what there is.
schemathesis.openapi.format("alert-cursor", st.just(""))
schemathesis.openapi.format("audit-cursor", st.just(""))

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# First and last second of what 64 bits of nanoseconds hold.
FIRST, LAST = -9223372036, 9223372036


def seconds(text, now):
    """Seconds of an instant as the server reads it; `None` when it is none."""
    relative = re.fullmatch(r"now(?:([-+])([0-9]+)([smhdw]?))?", text)
    if relative:
        sign, number, unit = relative.groups(default="")
        span = int(number or 0) * UNITS[unit]
        return min(max(now - span if sign == "-" else now + span, FIRST), LAST)
    if text.startswith("0000"):
        return FIRST
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    offset = moment.utcoffset()
    if offset is None:
        return None
    whole = (moment.replace(tzinfo=None) - datetime(1970, 1, 1)) / timedelta(seconds=1)
    return min(max(whole - offset.total_seconds(), FIRST), LAST)


@schemathesis.hook
def filter_case(context, case):
    """No range whose begin does not lie before its end: the document says that in words only."""
    query = case.query if isinstance(case.query, dict) else {}
    start, end = query.get("start"), query.get("end")
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return True
    if "prom" in case.operation.path or not (isinstance(start, str) or isinstance(end, str)):
        return True
    now = time.time()
    begin = seconds(start, now) if start else FIRST
    until = seconds(end, now) if end else now
    return begin is None or until is None or begin + 2 < until
