"""A stand-in for the model hub, and a child process that asks it for a source."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40


@dataclass
class Repository:
    """org/tiny: its files, which commit its branches are at, and what was asked of it."""

    files: Mapping[str, bytes]
    refs: dict[str, str] = field(default_factory=lambda: {"main": COMMIT, "v1": COMMIT})
    sent: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    # how many bytes of a file are sent before the connection breaks; None sends all
    breaks_after: int | None = None


class _Hub(BaseHTTPRequestHandler):
    repository: Repository

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        commits = {*self.repository.refs.values()}
        if path.startswith("/api/models/org/tiny/revision/"):
            revision = path.rpartition("/")[2]
            commit = self.repository.refs.get(revision, revision if revision in commits else None)
            if commit is None:
                self._refuse("RevisionNotFound")
                return
            files = [{"rfilename": name} for name in self.repository.files]
            self._send(dumps({"id": "org/tiny", "sha": commit, "siblings": files}).encode())
        elif path.startswith("/api/models/org/tiny/tree/"):
            entries = [self._entry(name) for name in self.repository.files]
            self._send(dumps(entries).encode())
        elif path.startswith("/org/tiny/resolve/"):
            name = path.removeprefix("/org/tiny/resolve/").partition("/")[2]
            self._send(self.repository.files[name], name)
        else:
            self._refuse("RepoNotFound")

    def _entry(self, name: str) -> dict[str, Any]:
        content = self.repository.files[name]
        oid = sha1(content).hexdigest()
        return {"type": "file", "path": name, "size": len(content), "oid": oid}

    def _refuse(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, name: str | None = None) -> None:
        asked = self.headers.get("Range") if name else None
        begin = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        part = content[begin:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{sha1(content).hexdigest()}"')
        self.end_headers()
        if self.command == "HEAD":
            return
        if name:
            self.repository.sent.append(name)
            self.repository.ranges.append(asked or "")
        limit = self.repository.breaks_after
        if name and limit is not None and len(part) > limit:
            self.wfile.write(part[:limit])
            self.close_connection = True
            return
        self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def hub_of(repository: Repository) -> Iterator[int]:
    """Serves the repository; the port."""
    handler = type("OurHub", (_Hub,), {"repository": repository})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Said:
    """What a child process made of its sources: a line each, and its log."""

    lines: list[str]
    log: str


CHILD = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
from fleet.errors import SourceError
from worker.source import hub_folder
for source in sys.argv[1:]:
    try:
        print(hub_folder("mine", source))
    except SourceError as error:
        print("refused", error)
"""


def ask(port: int, home: Path, *sources: str, **settings: str) -> Said:
    """In a process of its own: huggingface_hub reads its settings once, at import."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *sources],
        env=os.environ | _settings(port, home) | settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return Said(done.stdout.splitlines(), done.stderr)


def ask_on_a_terminal(port: int, home: Path, source: str) -> str:
    """What the child writes to a terminal while it fetches."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, source],
        env=os.environ | _settings(port, home),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while part := terminal.read(4096):  # EIO when the child has gone
            said += part
    assert child.wait(timeout=60) == 0
    return said.decode()


def _settings(port: int, home: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
