"""Presses the keys of `waxwing dev` on a terminal, and looks at what comes of them."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

PATIENCE_S = 120
COLOURS = re.compile(rb"\x1b\[[0-9;]*m")


class Terminal:
    """A terminal with `waxwing dev` before it."""

    def __init__(self, program):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""

        def stand_before():
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [program, "dev", "--memory"],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            preexec_fn=stand_before,
        )

    def read(self, until):
        left = until - time.monotonic()
        if left <= 0 or not select.select([self.master], [], [], left)[0]:
            raise SystemExit(f"nothing more came:\n{self.seen.decode(errors='replace')}")
        self.seen += os.read(self.master, 65536)

    def expect(self, text):
        """Waits for a text behind all that was waited for before."""
        until = time.monotonic() + PATIENCE_S
        while True:
            plain = COLOURS.sub(b"", self.seen)
            at = plain.find(text.encode())
            if at >= 0:
                found, self.seen = self.seen, plain[at + len(text.encode()) :]
                return found
            self.read(until)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def ends(self, how):
        """Waits for its end; the terminal is to be as it was."""
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            # It must not wait for somebody to read.
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
            if time.monotonic() > until:
                raise SystemExit(f"it does not end by {how}:\n{self.seen.decode(errors='replace')}")
        assert termios.tcgetattr(self.slave) == self.before, f"the terminal is another after {how}"
        return self.process.returncode

    def start(program):
        terminal = Terminal(program)
        terminal.expect("p pause")
        terminal.expect("ready: count")
        changed = termios.tcgetattr(terminal.slave)
        assert changed[3] & termios.ICANON == 0 and changed[3] & termios.ISIG != 0, changed
        return terminal


def count(program):
    terminal = Terminal.start(program)
    terminal.press("r")
    terminal.expect("no event was handled yet")
    # An event, written on a line.
    terminal.press("e")
    terminal.expect("SUBJECT DATA: ")
    terminal.press('counter.add {"key":"k","n":1}\n')
    terminal.expect("published counter.add")
    terminal.expect("count          counter.add k ")
    terminal.expect("done → counter.counted = k")
    # Details: of the last event at once.
    terminal.press("d")
    terminal.expect("details on")
    terminal.expect('{"key":"k","n":1,"count":1}')
    # The same event again is another event.
    terminal.press("r")
    terminal.expect("published counter.add")
    terminal.expect('{"key":"k","n":1,"count":2}')
    # While it is paused nothing runs.
    terminal.press("p")
    terminal.expect("paused: count")
    terminal.press("r")
    terminal.expect("published counter.add")
    terminal.press("p")
    terminal.expect("resumed: count")
    terminal.expect('{"key":"k","n":1,"count":3}')
    terminal.press("d")
    terminal.expect("details off")
    terminal.press("c")
    terminal.expect("\x1b[2J")
    terminal.press("?")
    terminal.expect("publish the last event again")
    # What means nothing does nothing.
    terminal.press("xyz\x1b[A")
    terminal.press("q")
    terminal.expect("quit: stopping")
    assert terminal.ends("q") == 0


def ends(program):
    terminal = Terminal.start(program)
    terminal.press("\x03")
    terminal.expect("ctrl-c: stopping")
    assert terminal.ends("ctrl-c") == 0

    terminal = Terminal.start(program)
    terminal.process.send_signal(signal.SIGTERM)
    terminal.expect("SIGTERM: stopping")
    assert terminal.ends("SIGTERM") == 0

    # While it waits for a line, too.
    terminal = Terminal.start(program)
    terminal.press("e")
    terminal.expect("SUBJECT DATA: ")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.ends("SIGTERM on a line") == 0


if __name__ == "__main__":
    count(sys.argv[1])
    ends(sys.argv[1])
