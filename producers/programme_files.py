"""Programme files: YAML 1.2 (so `NO` is Norway and a date is a date), every fault reported at once, by line."""

from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent
from ruamel.yaml.reader import ReaderError

from domain.errors import FaultyFile, FileFault, InvalidInput
from domain.facts import shown, shown_key
from domain.programme import Programme
from domain.programme_faults import Fault, cross_faults

MAX_BYTES = 200_000
"""Many times a programme of a hundred countries; YAML is read slowly, and a hostile file must not take minutes."""
MAX_DEPTH = 20
SHOWN_FAULTS = 100


def read_programme_file(path: Path) -> Programme:
    """Read a programme version from a file.

    Raises:
        InvalidInput: the file is not UTF-8 or not YAML, or the content is no programme: all faults, each with its line.

    """
    try:
        if not path.is_file():
            raise InvalidInput(f"{path.name} cannot be read: it is not there, or no file.")
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"{path.name} has more than {MAX_BYTES:,} bytes, which no programme needs.")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path.name} is not UTF-8 (byte {error.start}).") from None
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from None
    return read_programme(text, path.name)


def read_programme(text: str, name: str) -> Programme:
    """Read a programme version from YAML text; `name` is what faults are reported under.

    Raises:
        InvalidInput: as `read_programme_file`.

    """
    yaml = YAML(typ="rt", pure=True)
    yaml.version = (1, 2)
    try:
        _refuse_excess(text, name)
        tree = yaml.load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = " ".join((error.problem or "not YAML").split())
        raise InvalidInput(f"{name}, line {line}: {problem if len(problem) < 200 else problem[:200] + '…'}.") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidInput(f"{name}, line {line}: {text[error.position]!r} may not stand in a YAML file.") from None
    except YAMLError as error:
        raise InvalidInput(f"{name} is not YAML: {shown(str(error))}.") from None
    except ValueError:
        line, value = _unreadable_scalar(text)
        raise InvalidInput(
            f"{name}, line {line}: {shown(value)} is no date or number that there is; put a text in quotes."
        ) from None
    if not isinstance(tree, dict):
        raise InvalidInput(
            f"{name}, line 1: a programme is a mapping of keys such as programme, title, effective_from."
        )
    plain = _plain(tree)
    faults: list[Fault] = cross_faults(plain)
    try:
        programme = Programme.model_validate(plain)
    except ValidationError as error:
        faults += [(tuple(f["loc"]), _sentence(f)) for f in error.errors()]
    else:
        if not faults:
            return programme
    told = sorted({FileFault(_line_of(tree, path), _dotted(tree, path), what) for path, what in faults})
    raise FaultyFile(name, told[:SHOWN_FAULTS], more=len(told[SHOWN_FAULTS:]))


def _refuse_excess(text: str, name: str) -> None:
    """Refuse aliases, of which a few lines can stand for more than a memory holds, tags, and nesting that no programme needs."""
    yaml = YAML(typ="rt", pure=True)
    yaml.version = (1, 2)
    depth = 0
    for event in yaml.parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            raise InvalidInput(f"{name}, line {line}: write it out, an alias (*) is not taken.")
        if getattr(event, "tag", None) not in (None, "!"):
            raise InvalidInput(f"{name}, line {line}: a tag (!) is not taken; put a text in quotes.")
        if isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]:
            raise InvalidInput(f"{name}, line {line}: write it out, a merge key (<<) is not taken.")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InvalidInput(f"{name}, line {line}: nested more than {MAX_DEPTH} deep, which no programme needs.")


def _unreadable_scalar(text: str) -> tuple[int, str]:
    """Find what looks like a date or a number and is none: of it, YAML tells only that it cannot be made."""
    yaml = YAML(typ="safe", pure=True)
    for event in yaml.parse(text):
        if isinstance(event, ScalarEvent) and event.implicit[0]:
            try:
                YAML(typ="safe", pure=True).load(event.value)
            except YAMLError:
                continue  # alone it is no YAML; in its place it is
            except ValueError:
                return event.start_mark.line + 1, event.value
    return 1, "a value"


def _plain(node: Any) -> Any:
    """Give ruamel's annotated nodes as plain values; scalars keep the type that YAML 1.2 gave them."""
    if isinstance(node, dict):
        return {_plain(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if isinstance(node, bool):
        return node
    for plain in (int, float, str):
        if isinstance(node, plain):
            return plain(node)
    return node


def _sentence(fault: Any) -> str:
    if fault["type"] == "missing":
        return "is missing"
    if fault["type"] == "extra_forbidden":
        return "is not a key of a programme file"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"]).rstrip(".")
    if isinstance(fault["input"], bool) and "string" in fault["type"]:
        return f'{fault["input"]} is no text: YAML reads it as true or false, so put the word in quotes, such as "NO"'
    return f"{shown(fault['input'])}: {fault['msg'].lower()}"


def _steps(tree: Any, path: tuple[str | int, ...]) -> list[str | int]:
    """Give the keys of a fault's path that are in the file, leaving out what pydantic adds (union branches)."""
    steps: list[str | int] = []
    node: Any = tree
    for key in path:
        if (isinstance(node, dict) and key in node) or (
            isinstance(node, list) and isinstance(key, int) and key < len(node)
        ):
            steps.append(key)
            node = cast("Any", node)[key]
    return steps


def _line_of(tree: Any, path: tuple[str | int, ...]) -> int:
    node: Any = tree
    line = 1
    for key in _steps(tree, path):
        marks = cast("Any", node).lc
        position = marks.item(key) if isinstance(node, list) else marks.key(key)
        line = position[0] + 1
        node = node[key]
    return line


def _dotted(tree: Any, path: tuple[str | int, ...]) -> str:
    steps = _steps(tree, path)
    last = path[-1] if path else None
    if isinstance(last, str) and last not in steps and last not in ("[key]", "all"):
        steps = [*steps, last]
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return shown_key(text) or "the file"
