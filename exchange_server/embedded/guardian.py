"""Runs one program and ends it when whoever asked for it is gone, however it went.

A process of its own, started as ``python -I -S guardian.py ARGUMENTS PROGRAM…``: a file to run, not
a module to import, and of the standard library only. Its standard input is a pipe whose other end
only the starter holds. The end of that pipe, which the kernel brings about even after ``kill -9``,
is the one way in which the program is stopped; so stopping in order and dying with the starter are
the same, always used, path. (PR_SET_PDEATHSIG alone would not do: it fires when the *thread* that
started the program ends.) Should the guardian itself be killed, PR_SET_PDEATHSIG ends the program.

Started as root it can run the program as another user, for those that refuse root, and then lets
it keep the one capability that it needs to pass directories which only root may enter.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

# linux/prctl.h, linux/capability.h
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522

_STARTER_POLL_S = 1.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--signals", required=True, help="tried in this order: 2,3,9")
    parser.add_argument("--grace", type=float, required=True, help="seconds after each signal")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--pass-directories", action="store_true")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    return parser.parse_args()


def _check(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _capability_to_pass_directories() -> int:
    """The narrower one that root has here; containers usually leave only the wider."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if effective & (1 << capability):
            return capability
    raise PermissionError("root has neither CAP_DAC_READ_SEARCH nor CAP_DAC_OVERRIDE here")


def _become(uid: int, gid: int, *, pass_directories: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if pass_directories:
        capability = _capability_to_pass_directories()
        _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if pass_directories:
        header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
        # effective, permitted, inheritable; then the same for capabilities 32 and up.
        sets = (ctypes.c_uint32 * 6)(*[1 << capability] * 3, 0, 0, 0)
        _check(libc.capset(header, sets), "capset")
        _check(
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0), "PR_CAP_AMBIENT"
        )


def _run_program(options: argparse.Namespace, guardian: int) -> None:
    """In the forked child: become the program, or leave the reason in its log."""
    try:
        if options.uid is not None:
            _become(options.uid, options.gid, pass_directories=options.pass_directories)
        if sys.platform == "linux":
            # Only now: a change of user clears it.
            libc = ctypes.CDLL(None, use_errno=True)
            first = int(options.signals.split(",")[0])
            _check(libc.prctl(_PR_SET_PDEATHSIG, first, 0, 0, 0), "PR_SET_PDEATHSIG")
        if os.getppid() != guardian:
            os._exit(1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # What was passed on besides is a lock: the guardian's to hold, for as long as it lives.
        os.closerange(3, 65536)
        for caught in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(caught, signal.SIG_DFL)
        os.execv(options.program[0], options.program)
    except BaseException as error:  # whatever it is: a forked child must not return
        os.write(2, f"can't run {options.program[0]}: {error}\n".encode())
    os._exit(127)


def _wait_for_end_of_pipe(wake: int, starter: int, child: int) -> int | None:
    """Return None when it is time to stop, or the program's wait status if it ended by itself."""
    while True:
        readable, _, _ = select.select([0, wake], [], [], _STARTER_POLL_S)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if wake in readable and any(s != signal.SIGCHLD for s in os.read(wake, 64)):
            return None
        # The second condition is for a starter whose forked children still hold the pipe.
        if (0 in readable and not os.read(0, 64)) or os.getppid() != starter:
            return None


def _stop(child: int, signals: list[int], grace_s: float) -> int:
    for number in signals:
        os.kill(child, number)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.01)
    return os.waitpid(child, 0)[1]


def main() -> int:
    options = _arguments()
    starter = os.getppid()
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for caught in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(caught, lambda number, frame: None)
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        _run_program(options, guardian)
    status = _wait_for_end_of_pipe(wake, starter, child)
    if status is None:
        status = _stop(child, [int(n) for n in options.signals.split(",")], options.grace)
    return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
