"""The types of fields, in words: what a reader of the JSON meets."""

import datetime as dt
import types
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel

from infra.reference.markdown import code

_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    bool: "true or false",
    dt.date: "date",
    dt.datetime: "time",
    Decimal: "amount",
    msgspec.Raw: "object",
    Any: "any value",
}


def in_words(annotation: Any) -> str:
    """Say what a value of a type is in JSON; a structure of ours is a link to its heading on the same page."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return in_words(arguments[0])
    if origin is Literal:
        return ", ".join(code(str(value)) for value in arguments)
    if origin in (Union, types.UnionType):
        some = [each for each in arguments if each is not type(None)]
        return " or ".join([*(in_words(each) for each in some), *(["null"] if len(some) < len(arguments) else [])])
    if origin in (tuple, list):
        return f"list of {in_words(arguments[0])}"
    if origin is dict:
        return f"object, {in_words(arguments[0])} to {in_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | msgspec.Struct):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    raise TypeError(f"There are no words for the type {annotation!r} yet: add them in infra/reference/words.py.")
