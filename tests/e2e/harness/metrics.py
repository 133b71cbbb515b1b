"""What a scrape says, read by a strict parser of the text format (version 0.0.4) and checked against its rules."""

import re

from .client import fetch

CONTENT_TYPE = "text/plain; version=0.0.4"

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? ([0-9.eE+-]+|\+Inf|NaN)")
_HEAD = re.compile(rf"# (HELP|TYPE) ({_NAME}) (.+)")
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def _labels(text):
    labels, at = {}, 0
    while at < len(text):
        match = _LABEL.match(text, at)
        assert match and match[1] not in labels, f"labels: {text!r}"
        labels[match[1]] = re.sub(r'\\[\\"n]', lambda escape: _ESCAPES[escape[0]], match[2])
        at = match.end()
    return labels


class Family:
    def __init__(self, name):
        self.name, self.help, self.type, self.samples = name, None, None, []


class Metrics:
    """One scrape. Samples by name, and by the values of labels in any order: `metrics.value("x_total", code="200")`."""

    def __init__(self, text):
        self.families = {}
        self.samples = {}
        assert text.endswith("\n"), "the last line does not end"
        family = None
        for line in text[:-1].split("\n"):
            head = _HEAD.fullmatch(line)
            if head and head[1] == "HELP":
                assert head[2] not in self.families, f"the family {head[2]} is there twice"
                family = self.families[head[2]] = Family(head[2])
                family.help = head[3]
            elif head:
                assert family and family.name == head[2] and not family.type and head[3] in _SUFFIXES, line
                family.type = head[3]
            else:
                self._sample(family, line)
        for family in self.families.values():
            assert family.type, f"{family.name} has no TYPE"
            if family.type == "histogram":
                _check_histogram(family)

    def _sample(self, family, line):
        match = _SAMPLE.fullmatch(line)
        assert match, f"neither a sample nor HELP or TYPE: {line!r}"
        name, labels, value = match[1], _labels(match[2] or ""), float(match[3])
        assert family.type and name in [family.name + suffix for suffix in _SUFFIXES[family.type]], f"{line!r} in {family.name}"
        key = (name, frozenset(labels.items()))
        assert key not in self.samples, f"the sample {line!r} is there twice"
        assert value >= 0, line
        self.samples[key] = value
        family.samples.append((name, labels, value))

    def value(self, name, default=None, **labels):
        value = self.samples.get((name, frozenset(labels.items())), default)
        assert value is not None, f"no sample {name} {labels}"
        return value

    def all(self, name):
        """{labels as a frozenset: value} of every sample of that name."""
        return {labels: value for (found, labels), value in self.samples.items() if found == name}

    def sum(self, name):
        return sum(self.all(name).values())

    def labels(self, name, label):
        """The values of one label."""
        return {dict(labels)[label] for labels in self.all(name)}


def _check_histogram(family):
    """Buckets grow, the last one is the count, and there is a sum."""
    series = {}
    for name, labels, value in family.samples:
        labels = dict(labels)
        bound = labels.pop("le", None)
        of = series.setdefault(frozenset(labels.items()), {"buckets": []})
        if name.endswith("_bucket"):
            of["buckets"].append((float(bound), value))
        else:
            of[name[len(family.name):]] = value
    for labels, of in series.items():
        bounds = [bound for bound, _ in of["buckets"]]
        counts = [count for _, count in of["buckets"]]
        assert bounds == sorted(bounds) and bounds[-1] == float("inf"), (family.name, labels, bounds)
        assert counts == sorted(counts) and counts[-1] == of["_count"], (family.name, labels, counts, of)
        assert of["_sum"] >= 0


def scrape(port, target="/metrics"):
    response = fetch(port, target=target)
    assert response.status == 200, response.body
    assert response.get("Content-Type").startswith(CONTENT_TYPE)
    return Metrics(response.body.decode())


def unbalanced(metrics):
    """Plugins whose instances do not add up: each is created once, destroyed once, and meanwhile idle or in use."""
    wrong = {}
    for labels in metrics.all("weir_plugin_created_total"):
        plugin = dict(labels)["plugin"]
        created, destroyed, live, idle, in_use = (metrics.value(f"weir_plugin_{name}", plugin=plugin) for name in (
            "created_total", "destroyed_total", "live", "idle", "in_use"))
        if created - destroyed != live or live != idle + in_use:
            wrong[plugin] = f"created {created}, destroyed {destroyed}, live {live}, idle {idle}, in use {in_use}"
    return wrong
