"""Networks that are to be compared, found by whatever a reader calls them, with all or some of their parts."""

import inspect
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sliceweave.networks.catalogue import ENTRIES, Entry
from sliceweave.pipelines.errors import InputError

EVERY_ROW = "all"
_PARTS = re.compile(r"(?P<name>[^\[\]]+)(?:\[(?P<parts>[^\[\]]*)\])?")


@dataclass(frozen=True)
class Contender:
    """A row of the catalogue, or one that differs from it in its parts alone.

    Args:
        parts: those it has where they are not the row's own.
    """

    entry: Entry
    parts: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return self.entry.name + ("" if self.parts is None else f"[{'+'.join(self.parts)}]")

    @property
    def slug(self) -> str:
        """The name as a folder may be called."""
        parts = "" if self.parts is None else f"-{'+'.join(self.parts) or 'none'}"
        return self.entry.name.replace("/", "-") + parts

    @property
    def rows(self) -> Mapping[str, Sequence[int]]:
        """Tables of the paper in which it stands, by the row's label."""
        return self.entry.rows if self.parts is None else {}

    @property
    def options(self) -> dict[str, Any]:
        """What the catalogue's builder is given to make it."""
        if self.parts is None:
            return {}
        if "parts" in _arguments(self.entry):
            return {"parts": list(self.parts)}
        return {part: part in self.parts for part in known_parts(self.entry)}

    @property
    def is_3d(self) -> bool:
        return len(self.entry.size) == 3

    def takes(self, option: str) -> bool:
        return option in _arguments(self.entry)

    def widths(self, share: float) -> list[int] | None:
        """Its own widths, each times the share; None for a network that has none to choose.

        Raises:
            InputError: it has none, and the share is not 1.
        """
        if not self.takes("widths"):
            if share != 1:
                raise InputError(f"{self.name} has no widths to choose: leave it out, or compare at --width-share 1")
            return None
        own = self.entry.options.get("widths", _arguments(self.entry)["widths"].default)
        return [max(1, round(width * share)) for width in own]


def contenders(task: str, names: str) -> list[Contender]:
    """The networks that a text such as `UNet,LGNet[MLR+LGA]` names, in its order, each once.

    A name is that of the catalogue, with or without the task, or the row's label in the paper, or that of the class;
    capitals, blanks and hyphens do not matter. `all` is every row of the task's tables.

    Raises:
        InputError: none is called so, or one has no such part; says what there is.
    """
    found: dict[str, Contender] = {}
    for name in filter(None, map(str.strip, names.split(","))):
        for contender in _every_row(task) if name.lower() == EVERY_ROW else [_contender(task, name)]:
            found.setdefault(contender.name, contender)
    if not found:
        raise InputError(f"--networks names none: {_choice(task)}")
    return list(found.values())


def known_parts(entry: Entry) -> tuple[str, ...]:
    """The parts that can be taken off a network: its `parts`, or the arguments that switch something."""
    arguments = _arguments(entry)
    if "parts" in arguments:
        return tuple(arguments["parts"].default)
    return tuple(name for name, argument in arguments.items() if isinstance(argument.default, bool))


def _every_row(task: str) -> list[Contender]:
    return [Contender(entry) for entry in _entries(task) if entry.rows]


def _contender(task: str, text: str) -> Contender:
    match = _PARTS.fullmatch(text)
    if not match:
        raise InputError(f"--networks: expected a name, or a name and parts such as LGNet[MLR+LGA]; got '{text}'")
    entry = _entry(task, match["name"])
    return Contender(entry) if match["parts"] is None else _with_parts(entry, match["parts"])


def _entry(task: str, name: str) -> Entry:
    for entry in ENTRIES:
        if name == entry.name:
            return entry
    for names_of in (_short_names, _row_labels, _class_names):
        found = [entry for entry in _entries(task) if _plain(name) in map(_plain, names_of(entry))]
        if len(found) == 1:
            return found[0]
    raise InputError(f"no network of {task} is called '{name}': {_choice(task)}")


def _with_parts(entry: Entry, text: str) -> Contender:
    """The entry with these parts: the row of the catalogue that has them, if there is one."""
    known = {part.lower(): part for part in known_parts(entry)}
    wanted = [part.strip().lower() for part in text.split("+") if part.strip()]
    if unknown := [part for part in wanted if part not in known]:
        choice = f"choose from {', '.join(known.values())}" if known else "it has none to take off"
        raise InputError(f"{entry.name} has no part '{unknown[0]}': {choice}")
    parts = tuple(part for key, part in known.items() if key in wanted)
    for row in _entries(entry.name.split("/")[0]):
        if row.network is entry.network and _parts_of(row) == set(parts):
            return Contender(row)
    return Contender(entry, parts)


def _parts_of(entry: Entry) -> set[str]:
    """The parts that the catalogue's row has."""
    arguments = _arguments(entry)
    if "parts" in arguments:
        return set(entry.options.get("parts", arguments["parts"].default))
    return {part for part in known_parts(entry) if entry.options.get(part, arguments[part].default)}


def _entries(task: str) -> list[Entry]:
    return [entry for entry in ENTRIES if entry.name.startswith(f"{task}/")]


def _short_names(entry: Entry) -> list[str]:
    return [entry.name.split("/")[1]]


def _row_labels(entry: Entry) -> list[str]:
    return list(entry.rows)


def _class_names(entry: Entry) -> list[str]:
    """The class's name, for the row that has the whole of it."""
    return [entry.network.__name__] if _parts_of(entry) == set(known_parts(entry)) else []


def _plain(name: str) -> str:
    """Letters, digits and plus signs alone, in lower case: `U²-Net` is `u2net`."""
    return re.sub(r"[^a-z0-9+]", "", unicodedata.normalize("NFKC", name).lower())


def _arguments(entry: Entry) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(entry.network).parameters


def _choice(task: str) -> str:
    short = ", ".join(name for entry in _entries(task) for name in _short_names(entry))
    return f"choose from {short}, all, or a full name that `sliceweave networks` lists"
