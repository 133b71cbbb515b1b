"""Short ways to write down known differences."""


class Either:
    """A value of Traefik's that its own goroutines race for: equal to any of those given."""

    def __init__(self, *values):
        self.values = values

    def __eq__(self, other):
        return other in self.values

    def __repr__(self):
        return " or ".join(map(repr, self.values))


def statuses(theirs, ours, why, *names):
    """Rows for a table DIFFERS: the status of the first answer differs, and with it whatever hangs on it."""
    def line(status):
        if isinstance(status, Either):
            return Either(*map(line, status.values))
        return f"HTTP/1.1 {status}" if status is not None else None

    row = {"differs": {"answer0.status": (line(theirs), line(ours))}, "why": why, "loosely": True}
    return {name: row for name in names}


def keys(why, *names, loosely=False, **values):
    """Rows whose observations differ in the given keys; in their names "__" stands for "." and "_" for "-"."""
    differs = {key.replace("__", ".").replace("_", "-"): value for key, value in values.items()}
    return {name: {"differs": differs, "why": why, "loosely": loosely} for name in names}


def with_differences(case, table):
    for key, value in table.get(case.name, {}).items():
        setattr(case, key, value)
    return case
