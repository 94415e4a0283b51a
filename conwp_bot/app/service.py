"""The systemd unit: written for this installation, hardened, and put where systemd looks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from conwp_bot.errors import ConwpBotError
from conwp_bot.settings import Settings

UNIT = "conwp-bot.service"
STOP_SECONDS = 150
"""A request may take a minute, and an answer is worth waiting for: killed in flight, a message would be unknown."""


@dataclass(frozen=True, slots=True)
class ServiceFiles:
    """What `service install` writes: the unit, and where."""

    path: Path
    text: str
    user: bool


def service_files(settings: Settings, *, user: bool, drop_folders: list[Path] | None = None) -> ServiceFiles:
    """Return the unit for this installation and config; `drop_folders` are where file triggers look, so that it may write there."""
    folder = Path.home() / ".config/systemd/user" if user else Path("/etc/systemd/system")
    return ServiceFiles(folder / UNIT, unit_text(settings, user=user, drop_folders=drop_folders or []), user)


def unit_text(settings: Settings, *, user: bool, drop_folders: list[Path]) -> str:
    """Write the unit's text; every path in it is absolute."""
    command = f"{_quoted(sys.executable)} -m conwp_bot --config {_quoted(str(settings.file))} run"
    writable = sorted({str(settings.data), *(str(folder) for folder in drop_folders)})
    lines = [
        "# Written by `conwp-bot service install`; an override belongs in a drop-in (`systemctl edit conwp-bot`).",
        "[Unit]",
        "Description=conwp_bot: WhatsApp messages from YAML flows",
        "Documentation=man:systemd.service(5)",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={command}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"WorkingDirectory={_escaped(str(settings.root))}",
        "# The key: CONWP_API_KEY=… in this file, readable by root alone. Or a credential, see docs/how-to/systemd.md.",
        f"EnvironmentFile=-{_escaped(str(settings.root / 'conwp-bot.env'))}",
        "Restart=always",
        "RestartSec=2",
        "# Another daemon has the database, or the config has problems: starting again changes nothing.",
        "RestartPreventExitStatus=1 2 78",
        f"TimeoutStopSec={STOP_SECONDS}",
        "WatchdogSec=60",
        "KillSignal=SIGTERM",
        "LimitCORE=0",
        "UMask=0077",
        *_identity(settings, user=user),
        "",
        *_hardening(user=user),
        *(f"ReadWritePaths={_escaped(path)}" for path in writable),
        "",
        "[Install]",
        f"WantedBy={'default.target' if user else 'multi-user.target'}",
        "",
    ]
    return "\n".join(lines)


def install(files: ServiceFiles) -> None:
    """Write the unit, tell systemd, enable and start it; raises ConwpBotError with what systemd said."""
    _need_systemctl()
    try:
        files.path.parent.mkdir(parents=True, exist_ok=True)
        files.path.write_text(files.text, encoding="utf-8")
    except PermissionError as error:
        raise ConwpBotError(
            f"{files.path} cannot be written: {error.strerror}",
            hint="run it with sudo, or with --user for a service of your own",
        ) from error
    systemctl(files.user, "daemon-reload")
    systemctl(files.user, "enable", "--now", UNIT)


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
        "ProtectHome=read-only",
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


def _quoted(word: str) -> str:
    """Quote a word of ExecStart: systemd's quotes, and % and $ doubled, which it would replace."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(c in escaped for c in " \t'\"\\;") else escaped


def _escaped(path: str) -> str:
    return path.replace("%", "%%").replace(" ", "\\x20") if os.sep in path else path
