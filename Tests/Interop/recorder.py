"""A wire in front of a server that keeps every byte the gateway sent through it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from processes import DEADLINE


class Recorder:
    def __init__(self, port: int) -> None:
        self.port = port
        self.sent = bytearray()


@contextmanager
def recording(port: int) -> Iterator[Recorder]:
    """Listens on a port of its own, and passes on to this one of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        recorder = Recorder(listener.getsockname()[1])

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                server = socket.create_connection(("127.0.0.1", port), DEADLINE)
                threading.Thread(target=pump, args=(client, server, recorder.sent), daemon=True).start()
                threading.Thread(target=pump, args=(server, client, None), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE)


def pump(source: socket.socket, target: socket.socket, record: bytearray | None) -> None:
    """Until either side ends. Recorded before it is passed on: whoever has an answer finds the question here."""
    try:
        while data := source.recv(1 << 16):
            if record is not None:
                record += data
            target.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
