"""Writes plain values as block YAML; strings are always quoted, so their type is never in doubt."""

import json


def _scalar(value):
    if isinstance(value, Raw):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


class Raw(str):
    """Text that stands in the YAML as it is, for example an unquoted 1.5 or ~."""


def _lines(value, indent):
    pad = "  " * indent
    if isinstance(value, dict):
        for key, child in value.items():
            if isinstance(child, (dict, list)) and child:
                yield f"{pad}{_scalar(key)}:"
                yield from _lines(child, indent + 1)
            else:
                yield f"{pad}{_scalar(key)}: {_scalar(child)}"
    elif isinstance(value, list):
        for child in value:
            if isinstance(child, (dict, list)) and child:
                yield f"{pad}-"
                yield from _lines(child, indent + 1)
            else:
                yield f"{pad}- {_scalar(child)}"


def to_yaml(value):
    return "\n".join(_lines(value, 0)) + "\n"
