"""A headless Chromium for tests, spoken to by the WebDriver protocol over plain HTTP, and a folder served to it."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
MISSING = "needs chromium and chromedriver (apt-get install chromium chromium-driver)"
_FLAGS = (
    "--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


def node_module(name: str) -> Path | None:
    """Folder of an npm package that is installed in $AVATARS_NODE_MODULES or globally."""
    folders = [Path(p) for p in os.environ.get("AVATARS_NODE_MODULES", "").split(os.pathsep) if p]
    if shutil.which("npm"):
        done = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False)
        folders.append(Path(done.stdout.strip()))
    return next((p / name for p in folders if (p / name).is_dir()), None)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a static server of `folder`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


PATIENCE = 200
"""s that anything may take: a busy machine is slow, and only what never comes is wrong. A script may take 40 s more."""
UNTIL = f"""
const until = async (met) => {{
  const end = performance.now() + {1000 * PATIENCE};
  while (!met()) {{
    if (performance.now() > end) throw new Error("waited in vain for " + met);
    await new Promise((r) => setTimeout(r, 20));
  }}
}};
"""
"""JavaScript: wait for a condition."""


class Browser:
    """One browser session."""

    def __init__(self, size: tuple[int, int] = (700, 700)) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # the browser may still be writing
        self._process = subprocess.Popen(
            [str(DRIVER), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._base = f"http://127.0.0.1:{self._port()}"
        flags = [*_FLAGS, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={self._folder.name}"]
        options = {"binary": CHROMIUM, "args": flags}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        self._session = ""
        try:
            self._session = self._call("POST", "/session", {"capabilities": wanted})["sessionId"]
        except BaseException:
            self.close()
            raise
        self._call("POST", self._at("timeouts"), {"script": 1000 * (PATIENCE + 40), "pageLoad": 1000 * PATIENCE})

    def _port(self) -> int:
        """The port that the driver chose, once it listens there; what else it says is thrown away."""
        output = self._process.stdout
        assert output is not None
        for line in output:
            if found := re.search(r"started successfully on port (\d+)", line):
                threading.Thread(target=output.read, daemon=True).start()
                return int(found[1])
        raise RuntimeError("chromedriver ended before it listened")

    def _at(self, path: str) -> str:
        return f"/session/{self._session}/{path}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE + 100) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from error

    def open(self, address: str) -> None:
        """Go to a page."""
        self._call("POST", self._at("url"), {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """Value that an async function body returns; `args` holds the arguments, `until` waits for a condition."""
        wrapped = (
            "const done = arguments[arguments.length - 1], args = Array.from(arguments).slice(0, -1);"
            f"{UNTIL}(async () => {{ {script} }})()"
            ".then((v) => done([true, v]), (e) => done([false, String(e && e.message || e)]));"
        )
        good, value = self._call("POST", self._at("execute/async"), {"script": wrapped, "args": list(arguments)})
        if not good:
            raise RuntimeError(value)
        return value

    def screenshot(self, path: Path | str) -> None:
        """Write what is on screen."""
        Path(path).write_bytes(base64.b64decode(self._call("GET", self._at("screenshot"))))

    def log(self) -> list[str]:
        """Console messages since the last call."""
        return [entry["message"] for entry in self._call("POST", self._at("se/log"), {"type": "browser"})]

    def close(self) -> None:
        """End the session."""
        try:
            if self._session:
                self._call("DELETE", f"/session/{self._session}")
        finally:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._folder.cleanup()


@contextmanager
def shown(folder: Path, size: tuple[int, int]) -> Iterator[Browser]:
    """The page in `folder`/page, its avatar loaded and its own clock stopped."""
    with served(folder) as address:
        browser = Browser(size)
        try:
            browser.open(address + "/page/index.html")
            browser.run("await avatar.ready; avatar.paused = true;")
            yield browser
        finally:
            browser.close()
