"""Every known difference has its row in docs/compatibility.md."""

import re

from rig.programs import REPOSITORY
import test_api
import test_entry_points
import test_faults
import test_forwarding
import test_messages
import test_paths
import test_plugins
import test_plugins_of_others
import test_services
import test_tls


def test_every_reason_has_its_row():
    rows = set(re.findall(r"^\| `([a-z0-9.-]+)` \|", (REPOSITORY / "docs" / "compatibility.md").read_text(), re.M))
    tables = [module.DIFFERS for module in (test_entry_points, test_faults, test_forwarding, test_messages, test_paths, test_plugins, test_plugins_of_others, test_services, test_tls)]
    reasons = {row["why"] for table in tables for row in table.values()} | {case.why for case in test_messages.lenient()}
    reasons |= {row["why"] for table in (test_plugins.CONFIGURATION_DIFFERS,) for row in table.values()}
    reasons |= {"configuration-strict", "configuration-lenient", "accept-encoding"}
    reasons |= {known.why for known in vars(test_api).values() if isinstance(known, test_api.Known)}
    assert reasons - rows == set(), "differences without a row"


def test_every_difference_is_of_a_case():
    """A name in a table that no case has would never be noticed."""
    for module in (test_entry_points, test_faults, test_forwarding, test_messages, test_paths, test_plugins, test_plugins_of_others, test_services, test_tls):
        names = {case.name for case in all_cases(module)}
        assert set(module.DIFFERS) - names == set(), module.__name__


def all_cases(module):
    for value in vars(module).values():
        for mark in getattr(value, "pytestmark", ()):
            if mark.name == "parametrize" and mark.args[0] == "case":
                yield from mark.args[1]
