"""The desktop app as its owner meets it: tray, window, second start, quitting, under Xvfb with a session bus of its own.

    dbus-run-session -- python desktop.py MYELIN_DESKTOP MYELIN FOLDER [PART…]
"""

import http.client
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

from tray import Keychain, Panel, Tray, session_bus

KEY = "my-0123456789abcdef0123456789abcdef"
# Pages and calls of every kind: each is refused to strangers.
ROUTES = ["/", "/requests", "/v1/models", "/v1/chat/completions", "/anthropic/v1/messages", "/v1beta/models", "/api/tags",
          "/api/v1/status", "/openapi.json", "/docs", "/health", "/health/live", "/nowhere"]


class Upstream(http.server.BaseHTTPRequestHandler):
    """A provider that answers slowly, a word every tenth of a second, fails where it is told to, and remembers which models were asked for."""

    asked = []
    failure = 400
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Upstream.asked.append(body["model"])
        if "fail" in json.dumps(body["messages"]):
            words = b'{"error":{"message":"mock says no","type":"invalid_request_error"}}'
            self.send_response(Upstream.failure)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(words)))
            self.end_headers()
            self.wfile.write(words)
            return
        words = 20 if "long" in json.dumps(body["messages"]) else 1
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for count in range(words + 1):
            delta = {"content": f"{body['model']}{count} "} if count < words else {}
            reason = None if count < words else "stop"
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"],
                     "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            try:
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()
            except OSError:
                return
            if words > 1:
                time.sleep(0.1)
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


class OwnerSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, test, timeout=20):
    end = time.monotonic() + timeout
    while True:
        value = test()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        time.sleep(0.03)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def windows(title="Myelin"):
    return output("xdotool", "search", "--onlyvisible", "--name", f"^{title}$").split()


def children(pid):
    """Every process below one: (pid, name)."""
    rows = [line.split(None, 2) for line in output("ps", "-eo", "pid=,ppid=,comm=").splitlines()]
    found, below = [], {str(pid)}
    for _ in range(4):
        found = [(row[0], row[2]) for row in rows if row[1] in below]
        below |= {pid for pid, _ in found}
    return found


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class App:
    """One data directory, one address, and the app on it."""

    def __init__(self, binary, folder, name, upstream, **settings):
        self.binary, self.home, self.port = binary, folder / name, free_port()
        shutil.rmtree(self.home, ignore_errors=True)
        self.data = self.home / "data"
        runtime = self.home / "run"
        runtime.mkdir(parents=True)
        runtime.chmod(0o700)
        self.environment = dict(os.environ, HOME=str(self.home), XDG_RUNTIME_DIR=str(runtime), NO_AT_BRIDGE="1")
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "MYELIN_CONFIG", "MYELIN_DATA_DIR"):
            self.environment.pop(name, None)
        self.config = self.home / "myelin.toml"
        lines = [f'{name} = {json.dumps(value)}' for name, value in settings.items()]
        lines += [
            f'listen = ["127.0.0.1:{self.port}"]', 'active_profile = "first"', "[desktop]", "free_window_seconds = 1",
            "[[channels]]", 'name = "slow"', 'provider = "openai-compatible"', f'base_url = "{upstream}/v1"',
            'credentials = ["sk-test"]', 'models = ["one", "two"]',
            "[[keys]]", 'name = "claude"', f'secret = "{KEY}"', 'tool = "claude-code"',
            "[[profiles]]", 'name = "first"', 'rules = [{ match = "*", to = "slow/one" }]',
            "[[profiles]]", 'name = "second"', 'rules = [{ match = "*", to = "slow/two" }]',
        ]
        self.config.write_text("\n".join(lines) + "\n")
        self.errors = self.home / "stderr"
        self.process = None

    def command(self, *arguments):
        return [str(self.binary), "--config", str(self.config), "--data-dir", str(self.data), *arguments]

    def start(self, *arguments, env=None):
        with self.errors.open("ab") as errors:
            environment = dict(self.environment, **(env or {}))
            self.process = subprocess.Popen(self.command(*arguments), env=environment, stderr=errors)
        return self

    def serves(self):
        def live():
            assert self.process.poll() is None, f"it ended: {self.errors.read_text()[-2000:]}"
            try:
                return self.http("GET", "/health/live")[0] == 200
            except OSError:
                return False
        until("the gateway answers", live)
        return self

    def http(self, method, path, headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def owner(self, method, path, body=None):
        connection = OwnerSocket(self.data / "myelin.sock")
        connection.request(method, path, body and json.dumps(body), {"content-type": "application/json"})
        return json.loads(connection.getresponse().read())

    def active(self):
        return self.owner("GET", "/api/v1/active-profile")["active"]

    def chat(self, words="short", key=KEY):
        body = {"model": "gpt", "stream": True, "messages": [{"role": "user", "content": words}]}
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        return self.http("POST", "/v1/chat/completions", headers, json.dumps(body))

    def ends(self, code=0, timeout=20):
        assert self.process.wait(timeout) == code, f"ended with {self.process.returncode}: {self.errors.read_text()[-2000:]}"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Parts:
    def __init__(self, desktop, headless, folder):
        self.desktop, self.headless, self.folder = desktop, headless, folder
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.upstream = f"http://127.0.0.1:{server.server_port}"
        self.panel = Panel()
        # Owned throughout, so that no real one is started on the tests' bus.
        self.chain = Keychain()
        self.apps = []
        self.notes = {}

    def app(self, name, **settings):
        app = App(self.desktop, self.folder, name, self.upstream, **settings)
        self.apps.append(app)
        self.panel.items.clear()
        self.panel.notices.clear()
        return app

    def tray(self):
        """The tray switches profiles: nothing in flight breaks, the next request goes elsewhere, the mark moves."""
        app = self.app("tray").start("--hidden").serves()
        tray = Tray(self.panel)
        tray.wait("the address is shown", lambda tray: f"Running · 127.0.0.1:{app.port}" in [node[0] for node in tray.menu()])
        assert [node[0] for node in tray.find("Profile")[4]] == ["direct", "first", "second"]
        assert tray.checked("Profile") == ["first"] and not windows()

        Upstream.asked.clear()
        streams = [{} for _ in range(10)]
        threads = [threading.Thread(target=lambda own=own: own.update(answer=app.chat("long"))) for own in streams]
        for thread in threads:
            thread.start()
        until("ten streams are open", lambda: len(Upstream.asked) == 10)
        idle = tray.icon()
        until("the icon says so", lambda: tray.icon() != idle)
        tray.click("Profile", "second")
        until("the profile changed", lambda: app.active() == "second")
        tray.wait("the mark moved", lambda tray: tray.checked("Profile") == ["second"])
        status, _ = app.chat()
        assert status == 200 and Upstream.asked[-1] == "two", Upstream.asked
        for thread in threads:
            thread.join(20)
        for own in streams:
            status, body = own["answer"]
            assert status == 200 and b"one19" in body and b"two" not in body and b"[DONE]" in body, body[-300:]

        # The mark of the one that is active stays, although menus toggle it by themselves.
        tray.click("Profile", "second")
        time.sleep(0.3)
        tray.wait("the mark stays", lambda tray: tray.checked("Profile") == ["second"])

        # A switch from elsewhere moves the mark too.
        app.owner("PUT", "/api/v1/active-profile", {"profile": "first"})
        tray.wait("the mark follows", lambda tray: tray.checked("Profile") == ["first"])

        self.notes["click to effect"] = self.measured(app, tray)

        # Per tool.
        tool = ("Tools", tray.tool("claude-code", "Claude Code"))
        def follows(profile):
            keys = app.owner("GET", "/api/v1/keys")["keys"]
            return all(one["profile"] == profile for one in keys if one["tool"] == "claude-code")
        tray.click(*tool, "second")
        # Menus toggle marks by themselves, so the gateway is asked first.
        until("its key follows", lambda: follows("second"))
        tray.wait("the tool's mark", lambda tray: tray.checked(*tool) == ["second"])
        assert app.active() == "first" and app.chat()[0] == 200 and Upstream.asked[-1] == "two"
        tray.click(*tool, "Follow the gateway")
        until("its key does not", lambda: follows(None))
        tray.wait("it follows", lambda tray: tray.checked(*tool) == ["Follow the gateway"])
        assert app.chat()[0] == 200 and Upstream.asked[-1] == "one"

        # Pausing. (Menus toggle marks by themselves, so the gateway is asked first.)
        def paused():
            return app.owner("GET", "/api/v1/settings")["settings"]["paused"]
        tray.click("Pause routing")
        until("the gateway is paused", paused)
        tray.wait("it is paused", lambda tray: tray.find("Pause routing")[1])
        status, body = app.chat()
        assert status in (503, 529) and b"paused" in body, (status, body)
        tray.click("Pause routing")
        until("the gateway goes on", lambda: not paused())
        tray.wait("it goes on", lambda tray: not tray.find("Pause routing")[1])
        assert app.chat()[0] == 200

        tray.click("Start at login")
        entry = app.home / ".config" / "autostart" / "myelin-desktop.desktop"
        until("it starts at login", entry.exists)
        assert "--hidden" in entry.read_text()
        tray.wait("it says so", lambda tray: tray.find("Start at login")[1])
        tray.click("Start at login")
        until("it no longer does", lambda: not entry.exists())

        tray.click("Test channels now")
        until("the test is told", lambda: any(title == "Channels" for title, _ in self.panel.notices))

        # Quitting lets an answer finish.
        last = {}
        thread = threading.Thread(target=lambda: last.update(answer=app.chat("long")))
        thread.start()
        until("it is asked", lambda: Upstream.asked[-1] == "one")
        time.sleep(0.5)
        tray.click("Quit Myelin")
        app.ends()
        thread.join(10)
        assert b"one19" in last["answer"][1] and b"[DONE]" in last["answer"][1]

    def measured(self, app, tray):
        """Milliseconds from the click to the moment from which requests go elsewhere."""
        took, connection = [], OwnerSocket(app.data / "myelin.sock")
        for turn in range(20):
            wanted = ("second", "first")[turn % 2]
            node = tray.find("Profile", wanted)
            began = time.perf_counter()
            tray.press(node)
            while True:
                connection.request("GET", "/api/v1/active-profile")
                if json.loads(connection.getresponse().read())["active"] == wanted:
                    break
            took.append((time.perf_counter() - began) * 1000)
            tray.wait("the mark moved", lambda tray: tray.checked("Profile") == [wanted])
        median, worst = statistics.median(took), max(took)
        assert median < 100, took
        return f"median {median:.1f} ms, worst {worst:.1f} ms of {len(took)}"

    def tools(self):
        """A tool is connected from the tray after its change was shown, switched, mended and put back byte for byte."""
        app = self.app("tools")
        settings = app.home / ".claude" / "settings.json"
        settings.parent.mkdir()
        before = b'\xef\xbb\xbf{\r\n  // mine\r\n  "theme": "dark"\r\n}\r\n'
        settings.write_bytes(before)
        app.start("--hidden").serves()
        tray = Tray(self.panel)

        def stands(words):
            tray.wait(words, lambda tray: f"Claude Code · {words}" in [node[0] for node in tray.find("Tools")[4]], 30)

        def deed(state, verb, *keys):
            """Clicks, and answers the question by keys."""
            tray.click("Tools", f"Claude Code · {state}", verb)
            dialog = until("it asks", lambda: [one for one in windows() if self.small(one)])[0]
            shot = self.folder / f"asks-{verb.strip('…').lower()}.png"
            time.sleep(0.3)
            subprocess.run(["import", "-window", dialog, str(shot)], capture_output=True)
            subprocess.run(["xdotool", "windowactivate", "--sync", dialog, "key", *keys], check=True)
            until("it is answered", lambda: not [one for one in windows() if self.small(one)])
        yes = ("Tab", "Return")
        stands("not connected")
        deed("not connected", "Connect…", "Escape")
        time.sleep(0.5)
        assert settings.read_bytes() == before, "nobody said yes"
        deed("not connected", "Connect…", *yes)
        stands("connected")
        written = settings.read_bytes()
        assert f"http://127.0.0.1:{app.port}/anthropic".encode() in written and b"// mine\r\n" in written, written
        until("it is told", lambda: any(title == "Claude Code" and "points here now" in words for title, words in self.panel.notices))

        # The key that was made for it follows the profile that is chosen for the tool.
        key = written.split(b'"ANTHROPIC_AUTH_TOKEN": "')[1].split(b'"')[0].decode()
        tray.click("Tools", "Claude Code · connected", "second")
        # (Menus toggle marks by themselves, so the gateway is asked first.)
        until("its keys follow", lambda: all(one["profile"] == "second" for one in app.owner("GET", "/api/v1/keys")["keys"]
                                             if one["tool"] == "claude-code"))
        tray.wait("the tool's mark", lambda tray: tray.checked("Tools", "Claude Code · connected") == ["second"])
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        body = {"model": "claude-x", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "short"}]}
        status, answer = app.http("POST", "/anthropic/v1/messages", headers, json.dumps(body))
        assert status == 200 and Upstream.asked[-1] == "two", (status, answer[:300])

        # Somebody else changes the file: it is noticed by itself, told, and mended.
        settings.write_bytes(written.replace(b"/anthropic", b"/elsewhere"))
        tray.wait("it is noticed", lambda tray: tray.find("Tools", "Claude Code · drifted"), 90)
        until("it is told", lambda: any(title == "A tool was changed" for title, _ in self.panel.notices))
        assert any("has another" in node[0] for node in tray.find("Tools", "Claude Code · drifted")[4])
        deed("drifted", "Repair…", *yes)
        stands("connected")
        assert settings.read_bytes() == written
        deed("connected", "Restore…", *yes)
        stands("not connected")
        assert settings.read_bytes() == before
        app.process.terminate()
        app.ends()

    def day(self):
        """What a day brings: errors to look at, lines to copy, budgets that run out, channels that fall out, keys that end, and a quit that does not wait."""
        app = self.app("day").start("--hidden").serves()
        tray = Tray(self.panel)

        def told(title, words):
            def heard():
                return any(title == one and words in text for one, text in self.panel.notices)
            until(f"{title} is told", heard, 60)

        def copied(*path):
            tray.click("Copy", *path)
            text = {}
            def there():
                text["it"] = output("xclip", "-o", "-selection", "clipboard")
                return text["it"] != before
            until(f"{path} is copied", there)
            return text["it"]

        # Somebody's key ends soon.
        soon = int((time.time() + 86_400) * 1000)
        app.owner("POST", "/api/v1/keys", {"name": "guest", "expires": soon})

        # An error of today is in the menu, and opens its page.
        assert [node[0] for node in tray.find("Recent errors")[4]] == ["None today"]
        assert app.chat("fail")[0] == 400
        tray.wait("the error is listed", lambda tray: tray.find("Recent errors")[4][0][0] != "None today", 40)
        tray.press(tray.find("Recent errors")[4][0])
        until("its page opens", windows)

        # Lines to paste.
        before = ""
        before = copied("Base URL")
        assert before == f"http://127.0.0.1:{app.port}/v1", before
        before = copied("Environment for a shell (with a new key)")
        shell = dict(line.removeprefix("export ").split("=", 1) for line in before.splitlines())
        assert shell["OPENAI_BASE_URL"] == f"http://127.0.0.1:{app.port}/v1" and shell["ANTHROPIC_BASE_URL"] == f"http://127.0.0.1:{app.port}", shell
        assert app.chat(key=shell["OPENAI_API_KEY"])[0] == 200 and shell["GEMINI_API_KEY"] == shell["ANTHROPIC_AUTH_TOKEN"] == shell["OPENAI_API_KEY"]
        name = tray.tool("claude-code", "Claude Code").split(" · ")[0]
        before = copied(f"Launch command of {name}")
        assert before == "myelin run claude-code", before

        # A limit that is reached.
        app.owner("POST", "/api/v1/limits", {"name": "tight", "on": "gateway", "requests": 2, "per": "1h"})
        answers = [app.chat()[0] for _ in range(3)]
        assert answers == [200, 200, 429], answers
        told("Budget or limit reached", "tight")
        app.owner("DELETE", "/api/v1/limits/tight")

        # A channel that fails falls out of rotation; the icon says so.
        idle = tray.icon()
        Upstream.failure = 500
        for _ in range(12):
            app.chat("fail")
        Upstream.failure = 400
        told("Failover", "slow is out of rotation")
        until("the icon says so", lambda: tray.icon() != idle)
        app.owner("POST", "/api/v1/channels/slow/test", {})
        told("Key expires soon", "guest")

        # Who quits twice does not wait for what is open.
        until("the channel is back", lambda: app.chat()[0] == 200, 40)
        last = {}
        def broken():
            try:
                last["answer"] = app.chat("long")[1]
            except (OSError, http.client.HTTPException) as why:
                last["answer"] = getattr(why, "partial", b"")
        asked = len(Upstream.asked)
        thread = threading.Thread(target=broken)
        thread.start()
        until("it is asked", lambda: len(Upstream.asked) > asked)
        tray.click("Quit Myelin")
        tray.wait("it drains", lambda tray: "Quit now" in [node[0] for node in tray.menu()])
        tray.click("Quit now")
        app.ends()
        thread.join(10)
        assert b"[DONE]" not in last["answer"], "it waited"

        # A service that the app is attached to, and that stops, is told of.
        app = self.app("stops")
        with open(app.home / "service.err", "wb") as errors:
            service = subprocess.Popen([str(self.headless), "serve", "--config", str(app.config), "--data-dir", str(app.data)],
                                       env=app.environment, stdout=errors, stderr=errors)
        try:
            app.process = service
            app.serves()
            app.start("--hidden")
            tray = Tray(self.panel)
            tray.wait("it is attached", lambda tray: tray.menu()[0][0].startswith("Attached to the service"))
            service.terminate()
            service.wait(20)
            told("Myelin", "service has stopped")
            # It begins anew, as a process of its own.
            self.panel.items.clear()
            tray.click("Start the gateway here")
            app.ends()
            tray = Tray(self.panel)
            tray.wait("it runs here", lambda tray: tray.menu()[0][0] == f"Running · 127.0.0.1:{app.port}")
            assert app.chat()[0] == 200
            tray.click("Quit Myelin")
            until("it is gone", lambda: not (app.data / "myelin.sock").exists())
        finally:
            service.kill()

    def window(self):
        """The window shows the console in-process; closing frees it; a second start and the tray bring it back."""
        app = self.app("window").start().serves()
        tray = Tray(self.panel)
        until("the window is there", windows)
        shot = self.folder / "console.png"
        until("the console is painted", lambda: self.colours(shot) > 60, 40)
        assert any("WebKitWebProces" in name for _, name in children(app.process.pid))
        time.sleep(3)
        assert self.colours(shot) > 60

        def close():
            subprocess.run(["xdotool", "windowactivate", "--sync", windows()[0], "key", "alt+F4"], check=True)
            until("it is closed", lambda: not windows())
        close()
        until("it is said once where it went", lambda: any("keeps running" in title for title, _ in self.panel.notices))
        until("the webview is gone", lambda: not any("WebKit" in name for _, name in children(app.process.pid)))
        left = [name for _, name in children(app.process.pid)]
        before, began = cpu_seconds(app.process.pid), time.monotonic()
        time.sleep(6)
        used = (cpu_seconds(app.process.pid) - before) / (time.monotonic() - began)
        assert used < 0.03, f"idle takes {used:.1%} of a core"
        self.notes["idle, window closed"] = f"{used:.2%} of a core; processes below: {left or 'none'}"
        assert app.chat()[0] == 200, "the gateway goes on without its window"

        second = subprocess.run(app.command(), env=app.environment, timeout=20, capture_output=True, text=True)
        assert second.returncode == 0 and "runs already" in second.stderr, second
        until("a second start shows the window", windows)
        until("the console is painted again", lambda: self.colours(shot) > 60, 40)
        close()
        tray.click("Open Myelin")
        until("the tray shows it", windows)
        close()
        tray.click("Settings…")
        until("a page opens", windows)

        # A link asks first; what is not said yes to does not happen.
        for keys, then in ((["Escape"], "first"), (["Tab", "Return"], "second")):
            subprocess.run(app.command("myelin://use/second"), env=app.environment, timeout=20, check=True)
            dialog = until("it asks", lambda: [one for one in windows() if self.small(one)])[0]
            subprocess.run(["xdotool", "windowactivate", "--sync", dialog, "key", *keys], check=True)
            until("it is answered", lambda: not [one for one in windows() if self.small(one)])
            time.sleep(0.5)
            assert app.active() == then, (keys, app.active())
        app.process.send_signal(signal.SIGTERM)
        app.ends()

    @staticmethod
    def small(window):
        width = [line for line in output("xdotool", "getwindowgeometry", "--shell", window).splitlines() if "WIDTH" in line]
        return bool(width) and int(width[0].split("=")[1]) < 900

    @staticmethod
    def colours(shot):
        shown = windows()
        if not shown:
            return 0
        subprocess.run(["import", "-window", shown[0], str(shot)], capture_output=True)
        return int(output("identify", "-format", "%k", str(shot)) or 0)

    def strangers(self):
        """Pages of other origins and rebound names get 403 at every address; admin API and console are not on the port at all."""
        app = self.app("strangers").start("--hidden").serves()
        Tray(self.panel)
        token = {"authorization": f"Bearer {KEY}"}
        for path in ROUTES:
            for method in ("GET", "POST", "OPTIONS"):
                for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example"},
                                {"host": f"127.0.0.1.evil.example:{app.port}"}):
                    status, _ = app.http(method, path, dict(token, **headers))
                    assert status == 403, (method, path, headers, status)
        page = {"accept": "text/html"}
        for path in ("/api/v1/status", "/api/v1/session", "/openapi.json", "/docs", "/requests", "/favicon.svg"):
            status, body = app.http("GET", path, dict(token, **page))
            assert status == 404, (path, status, body[:200])
        assert b"<html" not in app.http("GET", "/", page)[1].lower()
        app.owner("PATCH", "/api/v1/settings", {"console": True})
        until("the console is switched on", lambda: app.http("GET", "/docs")[0] == 200)
        assert app.http("GET", "/api/v1/status", token)[0] == 401, "virtual keys do not open it"
        app.process.terminate()
        app.ends()

    def troubles(self):
        """Each thing that can be in the way has one clear message."""
        app = self.app("no-display")
        blind = dict(app.environment)
        blind.pop("DISPLAY", None)
        ended = subprocess.run(app.command(), env=blind, capture_output=True, text=True, timeout=20)
        assert ended.returncode == 1 and "there is no display" in ended.stderr, ended

        app = self.app("port-taken")
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", app.port))
            taken.listen()
            app.start()
            dialog = until("it says so", windows)[0]
            words = app.errors.read_text()
            assert f"127.0.0.1:{app.port} is taken by" in words and str(os.getpid()) in words and "myelin.toml" in words, words
        # The port is free now: trying again works.
        subprocess.run(["xdotool", "windowactivate", "--sync", dialog, "key", "Return"], check=True)
        app.serves()
        Tray(self.panel)
        app.process.terminate()
        app.ends()

        app = self.app("attach")
        with open(app.home / "service.err", "wb") as errors:
            service = subprocess.Popen([str(self.headless), "serve", "--config", str(app.config), "--data-dir", str(app.data)],
                                       env=app.environment, stdout=errors, stderr=errors)
        try:
            app.process = service
            app.serves()
            until("the socket is there", (app.data / "myelin.sock").exists)
            app.start()
            tray = Tray(self.panel)
            tray.wait("it is attached", lambda tray: tray.menu()[0][0].startswith("Attached to the service"))
            until("the window is there", windows)
            until("the console is painted over the socket", lambda: self.colours(self.folder / "attached.png") > 60, 40)
            tray.click("Profile", "second")
            until("the service switched", lambda: app.active() == "second")
            tray.click("Quit Myelin")
            app.ends()
            assert service.poll() is None and app.chat()[0] == 200, "the service goes on"

            # Locked, and nobody to ask.
            (app.data / "myelin.sock").unlink()
            app.start()
            dialog = until("it says so", windows)[0]
            words = app.errors.read_text()
            assert "Another Myelin" in words and f"process {service.pid}" in words, words
            subprocess.run(["xdotool", "windowactivate", "--sync", dialog, "key", "Escape"], check=True)
            app.ends(1)
        finally:
            service.kill()
            service.wait()

    def shortcuts(self):
        """None by default; named ones work everywhere; one that is taken is told of."""
        def press(*keys):
            subprocess.run(["xdotool", "key", *keys], check=True)
            time.sleep(0.7)
        app = self.app("shortcuts").start("--hidden").serves()
        Tray(self.panel)
        press("ctrl+alt+j")
        assert app.active() == "first"
        app.owner("PATCH", "/api/v1/settings", {"desktop": {"shortcut_next_profile": "Ctrl+Alt+J"}})
        time.sleep(1)
        press("ctrl+alt+j")
        assert app.active() == "second"
        press("ctrl+alt+j")
        assert app.active() == "direct" and not windows(), "it goes round"

        other = self.app("shortcuts-taken").start("--hidden").serves()
        Tray(self.panel)
        other.owner("PATCH", "/api/v1/settings", {"desktop": {"shortcut_open": "Ctrl+Alt+K", "shortcut_next_profile": "Ctrl+Alt+J"}})
        dialog = until("it says so", windows)[0]
        words = other.errors.read_text()
        assert "Not every shortcut can be used" in words and "is taken by another program" in words, words[-800:]
        subprocess.run(["xdotool", "windowactivate", "--sync", dialog, "key", "Return"], check=True)
        until("it is read", lambda: not windows())
        press("ctrl+alt+k")
        until("the other one works", windows)
        other.process.terminate()
        other.ends()
        app.owner("PATCH", "/api/v1/settings", {"desktop": {"shortcut_next_profile": ""}})
        time.sleep(1)
        press("ctrl+alt+j")
        assert app.active() == "direct", "it is off again"
        app.process.terminate()
        app.ends()

    def keychain(self):
        """A new store is sealed by the keychain; locked, it is asked for, and a no is told in one message."""
        chain = self.chain
        chain.refuses = False
        app = self.app("keychain")

        def stop():
            # Until its tray is there, an order to stop ends it as it would end any program.
            Tray(self.panel)
            self.panel.items.clear()
            app.process.terminate()
            app.ends()
        app.start("--hidden").serves()
        note = (app.data / "seal.keychain").read_text().strip()
        (attributes, secret), = chain.entries.values()
        assert attributes == {"service": "myelin", "username": note} and len(secret) == 64, chain.entries
        assert not (app.data / "seal.key").exists()
        channel = {"name": "sealed", "provider": "openai", "credentials": ["sk-canary-0123456789"], "models": ["m"]}
        app.owner("POST", "/api/v1/channels", channel)
        stop()
        for file in app.data.rglob("*"):
            assert not file.is_file() or (secret not in (bytes_ := file.read_bytes()) and b"sk-canary" not in bytes_), file

        # Locked, and the person unlocks it: nothing else is asked.
        chain.locked, chain.agrees, chain.asked = True, True, 0
        app.start("--hidden").serves()
        assert chain.asked == 1 and not windows()
        stop()

        # Locked, and the person says no: one message; then it is open, and trying again works.
        chain.locked, chain.agrees, chain.asked = True, False, 0
        app.start("--hidden")
        dialog = until("it says so", windows)[0]
        words = app.errors.read_text()
        assert "The keychain is locked" in words and note in words and chain.asked == 1, (words, chain.asked)
        subprocess.run(["import", "-window", dialog, str(self.folder / "locked.png")], capture_output=True)
        chain.locked = False
        subprocess.run(["xdotool", "windowactivate", "--sync", dialog, "key", "Return"], check=True)
        app.serves()
        stop()

        # The command line opens the same store, or says the same.
        def listed():
            command = [str(self.headless), "channel", "list", "--config", str(app.config), "--data-dir", str(app.data)]
            return subprocess.run(command, env=app.environment, capture_output=True, text=True, timeout=30)
        assert "sealed" in listed().stdout
        chain.locked = True
        told = listed()
        assert told.returncode != 0 and "the keychain is locked" in told.stderr and note in told.stderr, told
        chain.locked = False

        # `keychain:NAME` in the file.
        chain.entries["/org/freedesktop/secrets/collection/login/x"] = ({"service": "myelin", "username": "other"}, b"sk-there\n")
        app.config.write_text(app.config.read_text().replace('"sk-test"', '"keychain:other"'))
        checked = [str(self.headless), "config", "check", "--config", str(app.config), "--data-dir", str(app.data)]
        told = subprocess.run(checked, env=app.environment, capture_output=True, text=True, timeout=30)
        assert told.returncode == 0, told
        app.config.write_text(app.config.read_text().replace('"keychain:other"', '"keychain:nobody"'))
        told = subprocess.run(checked, env=app.environment, capture_output=True, text=True, timeout=30)
        assert "keychain:nobody: the keychain has no such entry" in told.stdout + told.stderr, told
        chain.refuses = True

    def packaged(self):
        """What was installed starts: the window in the app, the gateway in the server."""
        app = self.app("packaged").start().serves()
        until("the window is there", windows)
        until("the console is painted", lambda: self.colours(self.folder / "packaged.png") > 60, 40)
        Tray(self.panel).click("Quit Myelin")
        app.ends()
        app.process = subprocess.Popen([str(self.headless), "serve", "--config", str(app.config), "--data-dir", str(app.data)],
                                       env=app.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        app.serves()
        assert app.chat()[0] == 200
        app.process.terminate()
        app.ends()

    def early(self):
        """An order to stop in the first moment lets an answer finish that is on its way already; before there is anything to finish it ends at once."""
        app = self.app("early").start("--hidden").serves()
        last, asked = {}, len(Upstream.asked)
        thread = threading.Thread(target=lambda: last.update(answer=app.chat("long")))
        thread.start()
        until("it is asked", lambda: len(Upstream.asked) > asked)
        app.process.send_signal(signal.SIGTERM)
        app.ends()
        thread.join(10)
        status, body = last["answer"]
        assert status == 200 and b"one19" in body and b"[DONE]" in body, (status, body[-300:])

        app = self.app("early-taken")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", app.port))
            taken.listen()
            app.start("--hidden")
            until("it asks what to do", windows)
            app.process.send_signal(signal.SIGTERM)
            app.ends()

    def trayless(self):
        """Where nothing shows tray icons, the window does not vanish into nowhere."""
        self.panel.connection.close()
        time.sleep(0.3)
        app = self.app("trayless").start().serves()
        main = until("the window is there", windows)[0]
        time.sleep(1)
        subprocess.run(["xdotool", "windowactivate", "--sync", main, "key", "alt+F4"], check=True)
        dialog = until("it asks", lambda: [one for one in windows() if self.small(one)])[0]
        subprocess.run(["xdotool", "windowactivate", "--sync", dialog, "key", "Escape"], check=True)
        app.ends()


def main():
    session_bus()
    desktop, headless, folder = (pathlib.Path(word).resolve() for word in sys.argv[1:4])
    folder.mkdir(parents=True, exist_ok=True)
    screen = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "1280x860x24", "-nolisten", "tcp"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    os.environ["DISPLAY"] = ":" + screen.stdout.readline().decode().strip()
    os.environ.pop("WAYLAND_DISPLAY", None)
    manager = subprocess.Popen(["openbox"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parts = Parts(desktop, headless, folder)
    names = sys.argv[4:] or ["tray", "tools", "day", "window", "strangers", "troubles", "keychain", "shortcuts", "early", "trayless"]
    failed = False
    try:
        for name in names:
            began = time.monotonic()
            try:
                getattr(parts, name)()
                print(f"ok      {name} ({time.monotonic() - began:.1f} s): {getattr(parts, name).__doc__.splitlines()[0]}", flush=True)
            except Exception as why:
                failed = True
                import traceback
                traceback.print_exc()
                subprocess.run(["import", "-window", "root", str(folder / f"failed-{name}.png")])
                print(f"FAILED  {name}: {why}", flush=True)
                for app in parts.apps:
                    if app.process and app.process.poll() is None:
                        print(f"  stderr: {app.errors.read_text()[-1500:]}")
            for app in parts.apps:
                app.kill()
        for what, measure in parts.notes.items():
            print(f"        {what}: {measure}")
    finally:
        manager.kill()
        screen.kill()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
