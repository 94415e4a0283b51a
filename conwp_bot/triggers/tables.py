"""The reader of dropped files: rows that stream, each checked by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conwp_bot.flows.flow import ColumnType, FileTrigger, Flow, TableFormat
from conwp_bot.flows.region import region_of_locale
from conwp_bot.model.event import Event
from conwp_bot.model.rows import Row
from conwp_bot.triggers.charset import find_delimiter, find_encoding
from conwp_bot.triggers.columns import converters
from conwp_bot.triggers.csv_rows import csv_rows
from conwp_bot.triggers.json_rows import json_lines, json_rows

_FORMATS = {".json": TableFormat.JSON, ".jsonl": TableFormat.JSONL, ".ndjson": TableFormat.JSONL}


@dataclass(frozen=True, slots=True)
class TableSpec:
    """How one file is read: found when it was taken and stored in its event, so that every start reads the same rows."""

    format: TableFormat
    encoding: str
    delimiter: str = ","
    locale: str = ""
    columns: Mapping[str, ColumnType] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """Return what `event.data["table"]` holds."""
        return {
            "format": self.format.value,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "locale": self.locale,
            "columns": {name: kind.value for name, kind in self.columns.items()},
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> TableSpec:
        """Read what `as_data` wrote."""
        columns = {name: ColumnType(kind) for name, kind in data["columns"].items()}
        return cls(TableFormat(data["format"]), data["encoding"], data["delimiter"], data["locale"], columns)


def inspect_table(path: Path, flow: Flow, trigger: FileTrigger) -> TableSpec:
    """Find out what the trigger leaves open: format (by the file's ending, else CSV), encoding, delimiter. Reads the file; raises OSError.

    What the trigger says is not judged here: an encoding that does not exist is the whole file's reject, later.
    """
    table = trigger.format or _FORMATS.get(path.suffix.lower(), TableFormat.CSV)
    encoding = trigger.encoding or find_encoding(path)
    delimiter = trigger.delimiter or ","
    if table is TableFormat.CSV and trigger.delimiter is None:
        try:
            delimiter = find_delimiter(path, encoding)
        except ValueError:
            pass
    return TableSpec(table, encoding, delimiter, flow.locale, trigger.columns)


class TableReader:
    """A `RowSource` for files in the data folder. Blocking: for a thread.

    Rows are numbered from 1, blank ones are not counted. A file that cannot be used as a whole gives one row, number 1, with the reason.
    """

    def __init__(self, data: Path) -> None:
        self._data = data

    def rows(self, event: Event, start: int) -> Iterator[Row]:
        """Yield the rows after `start`; raises OSError when the file is gone or cannot be read."""
        spec = TableSpec.of(event.data["table"])
        return read_table(self._data / event.data["taken"], spec, start)


_READERS: Mapping[TableFormat, Callable[..., Iterator[Row]]] = {
    TableFormat.CSV: csv_rows,
    TableFormat.JSON: json_rows,
    TableFormat.JSONL: json_lines,
}


def read_table(path: Path, spec: TableSpec, start: int = 0) -> Iterator[Row]:
    """Yield the rows of a file with numbers greater than `start`. Raises OSError."""
    convert = converters(spec.columns, spec.locale, region_of_locale(spec.locale))
    if spec.format is TableFormat.CSV:
        return csv_rows(path, spec.encoding, spec.delimiter, convert, start)
    return _READERS[spec.format](path, spec.encoding, convert, start)
