"""Runs the cases of one client program against every target and tells each outcome on a line of its own.

The driver passes everything in CLIENTS_CONFIG (JSON): base URLs, key, targets, filters. A target is a model name with the features that
its provider has; a case that needs more is left out. Lines that start with `@case` are read by the driver; all else is for people.
"""

import json
import os
import sys
import time
import traceback
import urllib.request
import warnings

# Packages warn about models that they think old, and about their own future.
warnings.filterwarnings("ignore")

CONFIG = json.loads(os.environ["CLIENTS_CONFIG"])
KEY = CONFIG["key"]
MOCK = CONFIG["mock"]
# True when the program talks to the mock itself and no gateway is between.
DIRECT = CONFIG["direct"]

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "where"}},
    "required": ["city"],
    "additionalProperties": False,
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

_cases = []


def case(*needs, once=False, gateway_only=False):
    """Registers a case. `needs`: features of the target; `once`: with the first target alone."""

    def register(function):
        _cases.append((function, set(needs), once, gateway_only))
        return function

    return register


class Target:
    def __init__(self, entry):
        self.label = entry["label"]
        self.model = entry["model"]
        self.features = set(entry["features"])

    def has(self, feature):
        return feature in self.features


def refusals():
    """What the mock refused so far, newest last: (provider, rule)."""
    with urllib.request.urlopen(MOCK + "/_mock/requests") as answer:
        return [(r["provider"], r["refused"]) for r in json.load(answer) if r["refused"]]


def forget():
    urllib.request.urlopen(urllib.request.Request(MOCK + "/_mock/requests", method="DELETE")).read()


def received():
    """Requests that reached the mock since the last forget(), oldest first."""
    with urllib.request.urlopen(MOCK + "/_mock/requests") as answer:
        return json.load(answer)


def equal(found, expected, what=""):
    if found != expected:
        raise AssertionError(f"{what + ': ' if what else ''}expected {expected!r}, found {found!r}")


def contains(found, expected, what=""):
    if expected not in (found or ""):
        raise AssertionError(f"{what + ': ' if what else ''}expected {expected!r} in {found!r}")


def raises(kinds, work):
    try:
        value = work()
    except kinds as error:
        return error
    raise AssertionError(f"expected {kinds}, got {value!r}")


def report(outcome, name, why=""):
    print(f"@case {outcome} {name}" + (f"\t{why}" if why else ""), flush=True)


def run(program, wanted=None):
    """Runs every registered case with every target that has what it needs."""
    targets = [Target(entry) for entry in CONFIG["targets"] if wanted is None or wanted in entry["clients"]]
    filters = CONFIG["filters"]
    for function, needs, once, gateway_only in _cases:
        if gateway_only and DIRECT:
            continue
        fitting = [target for target in targets if needs <= target.features]
        for target in fitting[:1] if once else fitting:
            name = f"{program}/{function.__name__}/{target.label}"
            if filters and not any(part in name for part in filters):
                continue
            forget()
            start = time.monotonic()
            try:
                function(target)
            except Exception as error:  # noqa: BLE001: a failing case must not end the run
                refused = ", ".join(f"{provider} refused: {rule}" for provider, rule in refusals() if rule != "scripted")
                why = f"{type(error).__name__}: {error}".replace("\n", " ")[:600]
                report("fail", name, f"{why}{' (' + refused + ')' if refused else ''}")
                if CONFIG.get("verbose"):
                    traceback.print_exc(file=sys.stdout)
            else:
                took = time.monotonic() - start
                report("ok", name, f"slow: {took:.1f}s" if took > 5 else "")
