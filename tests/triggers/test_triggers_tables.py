"""Rows of dropped files: what comes through, what is rejected and why, and that a bad row harms no other."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from triggers_kit import flow

from conwp_bot.flows.flow import ColumnType, FileTrigger, TableFormat
from conwp_bot.model.rows import Row
from conwp_bot.triggers.charset import find_delimiter, find_encoding
from conwp_bot.triggers.columns import converters, read_bool, read_date, read_number
from conwp_bot.triggers.csv_rows import name_columns
from conwp_bot.triggers.tables import TableSpec, inspect_table, read_table

PHONE, NUMBER, DATE, TEXT = ColumnType.PHONE, ColumnType.NUMBER, ColumnType.DATE, ColumnType.TEXT


def rows(
    folder: Path,
    content: str | bytes,
    columns: Mapping[str, ColumnType] | None = None,
    *,
    name: str = "in.csv",
    encoding: str | None = None,
    start: int = 0,
) -> list[Row]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    spec = inspect_table(path, flow("f"), FileTrigger("file", "in/*", encoding=encoding, columns=columns or {}))
    return list(read_table(path, spec, start))


def values(found: list[Row]) -> list[Mapping[str, Any] | None]:
    return [row.values for row in found]


def reasons(found: list[Row]) -> list[str | None]:
    return [row.reason for row in found]


TURKISH = "ad;şehir\nAyşe Öğüt;İzmir\nIşıl Çağ;Iğdır\n"


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("cp1254", "cp1254"), ("utf-16", "utf-16")],
)
def test_a_spreadsheets_encoding_is_found(tmp_path: Path, encoding: str, codec: str) -> None:
    found = rows(tmp_path, TURKISH.encode(encoding))
    assert values(found) == [{"ad": "Ayşe Öğüt", "şehir": "İzmir"}, {"ad": "Işıl Çağ", "şehir": "Iğdır"}]
    assert find_encoding(tmp_path / "in.csv") == codec


def test_a_few_broken_bytes_do_not_garble_a_utf8_file(tmp_path: Path) -> None:
    found = rows(tmp_path, "ad\nAyşe\n".encode() + b"\xfe\xff\n" + "Gül Öğüt Şaş\n".encode())
    assert values(found) == [{"ad": "Ayşe"}, None, {"ad": "Gül Öğüt Şaş"}]
    assert "none in the file's encoding" in (found[1].reason or "")
    assert found[1].raw == "\ufffd\ufffd\n"


def test_an_encoding_that_does_not_exist_is_the_whole_files_reason(tmp_path: Path) -> None:
    assert reasons(rows(tmp_path, "a\n1\n", encoding="klingon")) == ["the encoding 'klingon' is not known"]
    assert reasons(rows(tmp_path, "[]", encoding="hex", name="a.json")) == ["'hex' is no encoding of text"]


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("a,b,c", ","),
        ("a;b;c", ";"),
        ("a\tb", "\t"),
        ('"a;b;c",d', ","),
        ("tutar, TL;ad", ";"),
        ("alone", ","),
        ("", ","),
        ("\n\na;b", ";"),
    ],
)
def test_the_delimiter_is_read_from_the_header(tmp_path: Path, header: str, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(header)
    assert find_delimiter(path, "utf-8") == delimiter


def test_headers_are_trimmed_and_made_unique(tmp_path: Path) -> None:
    assert name_columns([" ad ", "", "ad"]) == ["ad", "column_2", "ad_2"]
    names = name_columns(["ad", "ad", "ad_2", "ad"])
    assert (names[0], names[2]) == ("ad", "ad_2")
    assert len(set(names)) == 4
    assert values(rows(tmp_path, " ad ;;ad\n1;2;3\n")) == [{"ad": "1", "column_2": "2", "ad_2": "3"}]


def test_quotes_line_ends_and_blank_rows_are_read_as_a_spreadsheet_writes_them(tmp_path: Path) -> None:
    found = rows(tmp_path, 'a;b\r\n"x;""y""";"two\r\nlines"\r\n\r\n;;\r\n;\r\n1;2')
    assert values(found) == [{"a": 'x;"y"', "b": "two\r\nlines"}, {"a": "1", "b": "2"}]
    assert [row.number for row in found] == [1, 2]
    assert found[0].raw == '"x;""y""";"two\r\nlines"\r\n'


def test_a_bad_row_says_why_and_harms_no_other(tmp_path: Path) -> None:
    long = "x" * 140_000
    found = rows(tmp_path, f"a,b\n1\n1,2,3\n{long},2\n1,z\0z\n5,6\n")
    assert reasons(found) == [
        "it has 1 fields, the header has 2",
        "it has 3 fields, the header has 2",
        "it has a field of more than 128 KiB",
        "it has a zero byte",
        None,
    ]
    assert found[4].values == {"a": "5", "b": "6"}
    assert found[0].raw == "1\n"


def test_an_endless_line_and_an_open_quote_do_not_fill_memory(tmp_path: Path) -> None:
    found = rows(tmp_path, "a,b\n" + "x" * 5_000_000 + "\n1,2\n")
    assert reasons(found) == ["it has a line of more than 1 MiB", None]
    open_quote = rows(tmp_path, 'a,b\n"1,2\n' + "3,4\n" * 50_000)
    assert "quote is perhaps not closed" in (open_quote[0].reason or "")
    assert open_quote[-1].values == {"a": "3", "b": "4"}


def test_a_declared_column_that_is_missing_rejects_the_whole_file(tmp_path: Path) -> None:
    found = rows(tmp_path, "Phone;name\n0532;x\n0533;y\n", {"phone": PHONE, "name": TEXT})
    assert len(found) == 1
    assert found[0].number == 1
    assert found[0].reason == 'the column "phone" is missing; did you mean "Phone"? (columns: Phone, name)'


@pytest.mark.parametrize("content", ["", "\n\n", "  \n"])
def test_an_empty_file_says_so(tmp_path: Path, content: str) -> None:
    assert reasons(rows(tmp_path, content)) == ["the file is empty"]
    assert values(rows(tmp_path, "a;b\n")) == []


def test_columns_become_what_they_are_declared_to_be(tmp_path: Path) -> None:
    columns = {"tel": PHONE, "tutar": NUMBER, "vade": DATE, "vip": ColumnType.BOOL, "no": TEXT}
    found = rows(
        tmp_path,
        "tel;tutar;vade;vip;no\n0532 123 45 67;1.234,50;31.12.2026;Evet;007\n12;1;1.1.2026;evet;1\n"
        "05321234567;bir;1.1.2026;evet;1\n05321234567;1;31.02.2026;evet;1\n05321234567;1;1.1.2026;;1\n",
        columns,
    )
    assert found[0].values == {
        "tel": "+905321234567",
        "tutar": Decimal("1234.50"),
        "vade": date(2026, 12, 31),
        "vip": True,
        "no": "007",
    }
    assert type(found[0].values["tel"]) is str
    assert [(reason or "").split(":")[0] for reason in reasons(found)[1:]] == [
        'column "tel"',
        'column "tutar"',
        'column "vade"',
        'column "vip"',
    ]
    assert "'bir' is no number" in (found[2].reason or "")
    assert "does not exist" in (found[3].reason or "")
    assert "empty" in (found[4].reason or "")


@pytest.mark.parametrize(
    ("text", "mark", "number"),
    [
        ("1.234,56", ",", "1234.56"),
        ("1,234.56", ",", "1234.56"),
        ("1234.56", ",", "1234.56"),
        ("1234,56", ".", "1234.56"),
        ("1.234", ",", "1234"),
        ("1.234", ".", "1.234"),
        ("1,234", ",", "1.234"),
        ("1,234", ".", "1234"),
        ("0.125", ",", "0.125"),
        ("1234.567", ",", "1234.567"),
        ("1.234.567", ",", "1234567"),
        ("1.234.567,8", ".", "1234567.8"),
        (" -5 ", ",", "-5"),
        ("1 234,5", ",", "1234.5"),
        ("1'234.5", ",", "1234.5"),
        (7, ",", "7"),
        (Decimal("2.50"), ",", "2.50"),
    ],
)
def test_a_number_is_read_as_it_was_meant(text: Any, mark: str, number: str) -> None:
    assert read_number(text, mark) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", " ", None, "abc", "1.2.3", "12.34,56,7", "1,23,456", "1e5", "NaN", "--1", True, [1], "9" * 50]
)
def test_what_is_no_number_is_not_guessed(text: Any) -> None:
    with pytest.raises(ValueError):
        read_number(text)


@pytest.mark.parametrize(
    "text", ["31.12.2026", "31/12/2026", "2026-12-31", " 31.12.2026 ", "2026-12-31 00:00:00", "2026-12-31T00:00:00Z"]
)
def test_a_date_has_its_day_before_its_month(text: str) -> None:
    assert read_date(text) == date(2026, 12, 31)


@pytest.mark.parametrize("text", ["12/31/2026", "31.12.26", "2026-12-31 09:30", "46022", "", None, "yarın"])
def test_what_is_no_date_is_not_guessed(text: Any) -> None:
    with pytest.raises(ValueError):
        read_date(text)


@pytest.mark.parametrize(
    ("yes", "no"),
    [("evet", "hayır"), ("EVET", "HAYIR"), ("Yes", "NO"), ("TRUE", "False"), ("1", "0"), ("DOĞRU", "YANLIŞ"), (1, 0)],
)
def test_yes_and_no_in_any_case_also_in_turkish(yes: Any, no: Any) -> None:
    assert read_bool(yes) is True
    assert read_bool(no) is False
    with pytest.raises(ValueError):
        read_bool("belki")


def test_a_number_that_a_spreadsheet_broke_is_explained() -> None:
    read = converters({"tel": PHONE}, "tr_TR", "TR")["tel"]
    with pytest.raises(ValueError, match="format the column as text"):
        read("9,05321E+11")
    assert read(5321234567) == "+905321234567"


def test_json_lists_objects_and_lines_are_read_exactly(tmp_path: Path) -> None:
    records = [{"tel": "05321234567", "fiyat": 12.10, "n": 3}, {"tel": "x"}, 5, {"tel": None}, {"tel": "05321234567"}]
    expected = [None, 'column "tel"', "it is no object", 'column "tel"', None]
    for name, content in {
        "a.json": json.dumps(records, indent=2),
        "b.jsonl": "\n\n".join(map(json.dumps, records)),
        "c.ndjson": "\ufeff" + "\r\n".join(map(json.dumps, records)),
    }.items():
        found = rows(tmp_path, content, {"tel": PHONE}, name=name)
        assert [reason and reason.split(":")[0] for reason in reasons(found)] == expected, name
        assert found[0].values == {"tel": "+905321234567", "fiyat": Decimal("12.1"), "n": 3}
        assert [row.number for row in found] == [1, 2, 3, 4, 5]
    assert values(rows(tmp_path, ' {"a": 1} \n', name="one.json")) == [{"a": 1}]
    assert values(rows(tmp_path, " [ ] ", name="none.json")) == []


@pytest.mark.parametrize(
    ("content", "good"),
    [
        ("", 0),
        ("[", 0),
        ('[{"a": 1}', 1),
        ('[{"a": 1} {"a": 2}]', 1),
        ('[{"a": 1}, {"a"', 1),
        ('[{"a": 1}, NaN]', 1),
        ('[{"a": 1}] x', 1),
        ('{"a": 1}\n{"a": 2}', 1),
        ("[" * 100_000, 0),
    ],
)
def test_broken_json_ends_with_a_row_that_says_so(tmp_path: Path, content: str, good: int) -> None:
    found = rows(tmp_path, content, name="a.json")
    assert [row.reason is None for row in found] == [True] * good + [False]
    assert "cannot be read from here on" in (found[-1].reason or "")


def test_bad_json_lines_harm_no_other(tmp_path: Path) -> None:
    bad = ["{", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 50_000, '{"b": "' + "x" * 2_000_000 + '"}']
    lines = ['{"a": 1}', *bad, '{"a": 2}']
    found = rows(tmp_path, "\n".join(lines), name="a.jsonl")
    assert [row.reason is None for row in found] == [True, *[False] * 6, True]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "n\n" + "".join(f"{n}\n" for n in range(1, 50))),
        ("a.json", json.dumps([{"n": str(n)} for n in range(1, 50)])),
        ("a.jsonl", "\n".join(json.dumps({"n": str(n)}) for n in range(1, 50))),
    ],
)
def test_reading_goes_on_after_any_row(tmp_path: Path, name: str, content: str) -> None:
    for start in (0, 1, 30, 49, 50):
        found = rows(tmp_path, content, name=name, start=start)
        assert [row.number for row in found] == list(range(start + 1, 50))
        assert all(row.values == {"n": str(row.number)} for row in found)


def test_a_spec_survives_the_store() -> None:
    spec = TableSpec(TableFormat.CSV, "cp1254", ";", "tr_TR", {"tel": PHONE})
    assert TableSpec.of(json.loads(json.dumps(spec.as_data()))) == spec


def test_many_rows_take_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    with path.open("w") as file:
        file.write("tel;ad;not\n")
        file.writelines(f"0532{n:07d};Ayşe;{n}\n" for n in range(30_000))
    spec = TableSpec(TableFormat.CSV, "utf-8", ";", "tr_TR")
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_table(path, spec)) == 30_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=3, max_size=3),
        max_size=6,
    ),
    delimiter=st.sampled_from(",;\t"),
)
def test_what_python_writes_as_csv_comes_back_as_it_was(tmp_path: Path, table: list[list[str]], delimiter: str) -> None:
    path = tmp_path / "in.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["a", "b", "c"], *table])
    found = list(read_table(path, TableSpec(TableFormat.CSV, "utf-8", delimiter, "tr_TR")))
    assert [list((row.values or {}).values()) for row in found] == [record for record in table if any(record)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=3000), name=st.sampled_from(["a.csv", "a.json", "a.jsonl"]))
def test_any_bytes_are_rows_or_reasons_and_never_an_error(tmp_path: Path, content: bytes, name: str) -> None:
    for row in rows(tmp_path, content, name=name):
        assert (row.values is None) is (row.reason is not None)
        json.dumps([row.values, row.raw], default=str, ensure_ascii=False).encode()
