"""A way to a PostgreSQL server that, when told to, lets a commit through and loses its answer."""

import shutil
import socket
import tempfile
import threading
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

SOCKET = ".s.PGSQL.5432"


class LossyWay:
    """Passes bytes on between a socket of its own and the server's. `url` leads through it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = str(Path(parse_qs(parts.query)["host"][0]) / SOCKET)
        self._folder = tempfile.mkdtemp(prefix="lossy")  # a socket's path must be short
        self.url = parts._replace(query=f"host={quote(self._folder, safe='')}").geturl()
        self.lose_next_commit = False
        self.lost = 0
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(Path(self._folder) / SOCKET))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        _end(self._listening)
        self._listening.close()
        shutil.rmtree(self._folder)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return  # closed
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            losing = threading.Event()
            threading.Thread(target=self._to_server, args=(client, server, losing), daemon=True).start()
            threading.Thread(target=self._to_client, args=(server, client, losing), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        while content := _received(client):
            if self.lose_next_commit and b"COMMIT" in content:
                self.lose_next_commit = False
                losing.set()
            server.sendall(content)
        _end(server)

    def _to_client(self, server: socket.socket, client: socket.socket, losing: threading.Event) -> None:
        answer = b""
        while content := _received(server):
            if losing.is_set():
                answer += content
                if b"COMMIT" in answer:  # the server says that it has committed
                    self.lost += 1
                    break
            else:
                client.sendall(content)
        _end(client)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 20)
    except OSError:
        return b""


def _end(side: socket.socket) -> None:
    """End both directions, which closing alone does not while another thread reads."""
    try:
        side.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # ended already
