"""Starts daemons by forking: a process that has imported everything once, so that a start costs a fork, not an import.

Reads one line per start from standard input (the config file), forks a child that runs the daemon, and writes the child's pid; writes
`exit PID STATUS` when a child ended. The children are real processes: they get real signals.
"""

import ctypes
import os
import select
import signal
import sys
from pathlib import Path

from conwp_bot.app.daemon import run_daemon

PR_SET_PDEATHSIG = 1


def start(config: str, log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    # A test that is given up leaves nobody behind.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 70
    try:
        code = run_daemon(Path(config))
    finally:
        os._exit(code)


def main() -> None:
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    commands = sys.stdin.buffer.fileno()
    buffer = b""
    while True:
        ready, _, _ = select.select([commands, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            sys.stdout.write(f"exit {pid} {os.waitstatus_to_exitcode(status)}\n")
            sys.stdout.flush()
        if commands in ready:
            more = os.read(commands, 65536)
            if not more:
                return
            buffer += more
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                config, log = line.decode().split("\t")
                sys.stdout.write(f"pid {start(config, log)}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
