import os
from pathlib import Path

import pytest

from conwp_bot.model.secret import Secret
from conwp_bot.settings.secrets import find_secret, resolve_secret


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_variable_gives_its_value(tmp_path: Path) -> None:
    assert resolve_secret("${KEY}", tmp_path, {"KEY": " abc\n"}) == Secret("abc")


@pytest.mark.parametrize("environ", [{}, {"KEY": ""}, {"KEY": "  "}])
def test_a_variable_without_a_value_gives_none(tmp_path: Path, environ: dict[str, str]) -> None:
    found = find_secret("${KEY}", tmp_path, environ)
    assert found.secret is None
    assert "KEY is not set" in (found.missing or "")


def test_a_file_is_relative_to_the_config(tmp_path: Path) -> None:
    written(tmp_path / "key", "abc\n")
    assert resolve_secret("file:key", tmp_path, {}) == Secret("abc")
    assert resolve_secret(f"file:{tmp_path}/key", Path("/"), {}) == Secret("abc")


def test_a_file_that_all_may_read_is_a_warning(tmp_path: Path) -> None:
    written(tmp_path / "key", "abc\n", 0o644)
    found = find_secret("file:key", tmp_path, {})
    assert found.secret == Secret("abc")
    assert "everybody" in (found.warning or "")
    assert find_secret("file:key", tmp_path, {}).hint == f"chmod 600 {tmp_path}/key"
    written(tmp_path / "key", "abc\n", 0o640)
    assert find_secret("file:key", tmp_path, {}).warning is None


def test_what_gives_no_secret_says_why(tmp_path: Path) -> None:
    written(tmp_path / "empty", "\n")
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("empty", "is empty"),
        ("latin", "not UTF-8"),
        ("folder", "no file"),
        ("missing", "no file"),
        ("pipe", "no file"),
    ):
        found = find_secret(f"file:{name}", tmp_path, {})
        assert found.secret is None
        assert reason in (found.missing or ""), name


def test_a_credential_comes_from_the_folder_of_systemd(tmp_path: Path) -> None:
    written(tmp_path / "conwp-key", "abc\n", 0o444)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert resolve_secret("credential:conwp-key", Path("/"), environ) == Secret("abc")
    assert resolve_secret("credential:other", Path("/"), environ) is None
    assert "CREDENTIALS_DIRECTORY" in (find_secret("credential:conwp-key", Path("/"), {}).missing or "")


def test_a_source_that_is_broken_gives_none(tmp_path: Path) -> None:
    for source in ("a${B}", "credential:../x", "file:", ""):
        assert resolve_secret(source, tmp_path, {"B": "x"}) is None


def test_a_secret_never_shows_itself(tmp_path: Path) -> None:
    found = find_secret("topsecret", tmp_path, {})
    assert "topsecret" not in repr(found)
    assert found.secret == Secret("topsecret")
