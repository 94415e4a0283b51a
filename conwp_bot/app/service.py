"""The systemd unit: written for this installation, hardened, and put where systemd looks for it."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from conwp_bot.app.engine import patience
from conwp_bot.errors import ConwpBotError
from conwp_bot.settings import Settings

UNIT = "conwp-bot.service"
STOP_SECONDS = 150
"""A request may take a minute, and an answer is worth waiting for: killed in flight, a message would be unknown."""


@dataclass(frozen=True, slots=True)
class ServiceFiles:
    """What `service install` writes: the unit, and where; `folders` must be there before it starts, for systemd to let it write there."""

    path: Path
    text: str
    user: bool
    folders: tuple[Path, ...] = ()


def service_files(settings: Settings, *, user: bool, drop_folders: list[Path] | None = None) -> ServiceFiles:
    """Return the unit for this installation and config; `drop_folders` are where file triggers look, so that it may write there."""
    folder = Path.home() / ".config/systemd/user" if user else Path("/etc/systemd/system")
    text = unit_text(settings, user=user, drop_folders=drop_folders or [])
    return ServiceFiles(folder / UNIT, text, user, (settings.data, *(drop_folders or [])))


def unit_text(settings: Settings, *, user: bool, drop_folders: list[Path]) -> str:
    """Write the unit's text; every path in it is absolute."""
    command = f"{_word(_percent(sys.executable))} -m conwp_bot --config {_argument(str(settings.file))} run"
    writable = sorted({str(settings.data), *(str(folder) for folder in drop_folders)})
    stop = max(STOP_SECONDS, math.ceil(patience(settings)) + 30)
    lines = [
        "# Written by `conwp-bot service install`; an override belongs in a drop-in (`systemctl edit conwp-bot`).",
        "[Unit]",
        "Description=conwp_bot: WhatsApp messages from YAML flows",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={command}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"WorkingDirectory={_percent(str(settings.root))}",
        "# The key: CONWP_API_KEY=… in this file, readable by root alone. Or a credential, see docs/how-to/systemd.md.",
        f"EnvironmentFile=-{_percent(str(settings.root / 'conwp-bot.env'))}",
        "Restart=always",
        "RestartSec=2",
        "# The config has problems, or the command is wrong: starting again changes nothing.",
        "RestartPreventExitStatus=1 2",
        f"TimeoutStopSec={stop}",
        "WatchdogSec=60",
        "KillSignal=SIGTERM",
        "LimitCORE=0",
        "UMask=0077",
        *_identity(settings, user=user),
        "",
        *_hardening(user=user),
        *([] if user else [f"ProtectHome={_protect_home(settings, drop_folders)}"]),
        *(f"ReadWritePaths={_path(path)}" for path in writable),
        "",
        "[Install]",
        f"WantedBy={'default.target' if user else 'multi-user.target'}",
        "",
    ]
    return "\n".join(lines)


def install(files: ServiceFiles) -> None:
    """Write the unit, tell systemd, enable and start it; raises ConwpBotError with what systemd said."""
    _need_systemctl()
    for folder in files.folders:
        _make_folder(folder)
    try:
        files.path.parent.mkdir(parents=True, exist_ok=True)
        files.path.write_text(files.text, encoding="utf-8")
    except PermissionError as error:
        raise ConwpBotError(
            f"{files.path} cannot be written: {error.strerror}",
            hint="run it with sudo, or with --user for a service of your own",
        ) from error
    systemctl(files.user, "daemon-reload")
    systemctl(files.user, "enable", UNIT)
    # Not `enable --now`: one that runs already would go on without the folders that it may write in now.
    systemctl(files.user, "restart", UNIT)


def uninstall(files: ServiceFiles) -> bool:
    """Stop and disable the service and remove its unit; says whether there was one."""
    _need_systemctl()
    if not files.path.exists():
        return False
    systemctl(files.user, "disable", "--now", UNIT)
    files.path.unlink()
    systemctl(files.user, "daemon-reload")
    return True


def status(*, user: bool) -> str:
    """Return what `systemctl status` says, whatever its exit code."""
    _need_systemctl()
    command = [*_systemctl(user), "--no-pager", "status", UNIT]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words, no shell
    return (result.stdout or result.stderr).rstrip()


def systemctl(user: bool, *words: str) -> None:
    """Run systemctl; raises ConwpBotError with what it said."""
    result = subprocess.run([*_systemctl(user), *words], capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode:
        said = (result.stderr or result.stdout).strip()
        raise ConwpBotError(f"systemctl {' '.join(words)} failed: {said}")


def _systemctl(user: bool) -> list[str]:
    return ["systemctl", "--user"] if user else ["systemctl"]


def _need_systemctl() -> None:
    if shutil.which("systemctl") is None:
        raise ConwpBotError(
            "there is no systemd on this machine", hint="start `conwp-bot run` with the supervisor that it has instead"
        )


def _identity(settings: Settings, *, user: bool) -> list[str]:
    """Run as who owns the config's folder: the files stay the author's, and nothing runs as root without need."""
    if user:
        return []
    owner = settings.root.stat()
    return [f"User={owner.st_uid}", f"Group={owner.st_gid}"]


def _hardening(*, user: bool) -> list[str]:
    lines = [
        "NoNewPrivileges=yes",
        "LockPersonality=yes",
        "MemoryDenyWriteExecute=yes",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "SystemCallErrorNumber=EPERM",
        "MemoryMax=1G",
        "TasksMax=256",
    ]
    if user:
        return lines  # the rest needs rights that a user's own manager does not have
    return [
        *lines,
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "ProtectSystem=strict",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "PrivateMounts=yes",
        "PrivateUsers=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectControlGroups=yes",
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "RemoveIPC=yes",
    ]


def _protect_home(settings: Settings, drop_folders: list[Path]) -> str:
    """Hide all homes, unless this installation lies in one."""
    needed = (Path(sys.executable), Path(sys.prefix), settings.file, settings.flows, settings.data, *drop_folders)
    homes = (Path("/home"), Path("/root"), Path("/run/user"))
    ways = [path for each in needed for path in (each, each.resolve())]
    return "read-only" if any(path.is_relative_to(home) for path in ways for home in homes) else "yes"


def _make_folder(folder: Path) -> None:
    """Make a folder that is missing, as its neighbour's: root makes it for who the service will be."""
    if folder.exists():
        return
    _make_folder(folder.parent)
    owner = folder.parent.stat()
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, owner.st_uid, owner.st_gid)


# systemd reads each kind of line in its own way (systemd.unit(5), systemd.service(5), and its load-fragment.c).


def _percent(text: str) -> str:
    """Write a line's whole value: blanks and quotes are what they are, only % has a meaning."""
    return text.replace("%", "%%")


def _argument(text: str) -> str:
    """Write an argument of ExecStart, where $ has a meaning too."""
    return _word(_percent(text).replace("$", "$$"))


def _word(text: str) -> str:
    """Write a word of ExecStart: quoted, with backslashes as in C."""
    if not any(c in text for c in " \t'\"\\;"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _path(text: str) -> str:
    """Write a word of a list of paths: quoted, but a backslash is one."""
    if not any(c in text for c in " \t'\""):
        return _percent(text)
    quote = "'" if '"' in text else '"'
    if quote in text:
        raise ConwpBotError(f"systemd has no spelling for a path with both kinds of quotes: {text}", hint="rename it")
    return f"{quote}{_percent(text)}{quote}"
