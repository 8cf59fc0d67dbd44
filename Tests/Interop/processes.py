"""Child processes that say where they listen, and are always ended."""

import queue
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

DEADLINE = 60  # seconds a child may take to say where it listens, or to end
LISTENING = re.compile(r"^listening on (\S+)")


class ListeningProcess:
    """A child whose output is read to the end, so that it never blocks on a full pipe.

    `announcement` finds in a line of it the URL where it listens.
    """

    def __init__(
        self, command: Sequence[str], *, announcement: re.Pattern[str] = LISTENING, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = command
        self.announcement = announcement
        self.output: list[str] = []
        self._announced: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line)
            if said := self.announcement.search(line):
                self._announced.put(said[1])
        self._announced.put(None)

    def wait_for_url(self) -> str:
        """The URL of the first line that says where the child listens."""
        try:
            url = self._announced.get(timeout=DEADLINE)
        except queue.Empty:
            url = None
        if url is None:
            self.end()
            raise RuntimeError(f"{' '.join(self.command)} did not say where it listens:\n{''.join(self.output)}")
        return url

    def kill(self) -> None:
        """Ends the process without a word (SIGKILL)."""
        self._process.kill()
        self._process.wait(DEADLINE)

    def end(self) -> int:
        """Asks the process to stop (SIGTERM) and returns its exit code; kills it when it does not listen."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(DEADLINE)
        return code
