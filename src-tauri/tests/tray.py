"""A panel for tests: the watcher that tray icons register with, and a hand that reads and clicks their menus over D-Bus."""

import os
import threading
import time

from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_call, new_method_return, new_signal
from jeepney.io.blocking import open_dbus_connection

WATCHER = "org.kde.StatusNotifierWatcher"
WATCHER_PATH = "/StatusNotifierWatcher"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"
PROPERTIES = "org.freedesktop.DBus.Properties"
NOTIFICATIONS = "org.freedesktop.Notifications"
BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")


def ask(connection, address, member, signature=None, *body):
    reply = connection.send_and_get_reply(new_method_call(address, member, signature, body), timeout=5)
    if reply.header.message_type is MessageType.error:
        raise RuntimeError(f"{member}: {reply.header.fields.get(HeaderFields.error_name)} {reply.body}")
    return reply.body


class Service(threading.Thread):
    """Serves names on the session bus: every call goes to `answer`, which gives the reply and signals that follow it."""

    def __init__(self, *names):
        super().__init__(daemon=True)
        self.connection = open_dbus_connection(bus="SESSION")
        for name in names:
            (got,) = ask(self.connection, BUS, "RequestName", "su", name, 4)
            assert got == 1, f"{name} is taken"
        self.start()

    def run(self):
        try:
            while True:
                message = self.connection.receive()
                if message.header.message_type is MessageType.method_call:
                    fields = message.header.fields
                    for reply in self.answer(message, fields.get(HeaderFields.member), fields):
                        self.connection.send(reply)
        except OSError:
            pass


class Panel(Service):
    """Serves the watcher's name, and takes notifications. What it has seen stays in `items` and `notices`."""

    def __init__(self, tray=True):
        self.items, self.notices = [], []
        super().__init__(NOTIFICATIONS, *([WATCHER] if tray else []))

    def answer(self, message, member, fields):
        sender = fields.get(HeaderFields.sender)
        state = {
            "RegisteredStatusNotifierItems": ("as", self.items),
            "IsStatusNotifierHostRegistered": ("b", True),
            "ProtocolVersion": ("i", 0),
        }
        if member == "RegisterStatusNotifierItem":
            path = message.body[0] if message.body[0].startswith("/") else "/StatusNotifierItem"
            self.items.append((sender, path))
            address = DBusAddress(WATCHER_PATH, interface=WATCHER)
            yield new_signal(address, "StatusNotifierItemRegistered", "s", (sender + path,))
            reply = new_method_return(message)
        elif member == "Notify":
            self.notices.append((message.body[3], message.body[4]))
            reply = new_method_return(message, "u", (len(self.notices),))
        elif member == "GetAll":
            reply = new_method_return(message, "a{sv}", (state,))
        elif member == "Get" and message.body[1] in state:
            reply = new_method_return(message, "v", (state[message.body[1]],))
        elif member == "GetCapabilities":
            reply = new_method_return(message, "as", (["body"],))
        else:
            reply = new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", (member or "",))
        yield reply


class Keychain(Service):
    """A Secret Service. `refuses`: it does nothing at all. `locked`: it asks before it opens, and a person says `agrees`."""

    ROOT = "/org/freedesktop/secrets"

    def __init__(self):
        self.refuses, self.locked, self.agrees, self.asked = True, False, False, 0
        self.entries = {}
        super().__init__("org.freedesktop.secrets")

    def answer(self, message, member, fields):
        path = fields.get(HeaderFields.path)
        method = getattr(self, f"on_{member}", None)
        if self.refuses or method is None:
            yield new_error(message, "org.freedesktop.DBus.Error.NotSupported", "s", ("not today",))
            return
        signature, *body = method(path, *message.body)
        yield new_method_return(message, signature, tuple(body))
        if member == "Prompt":
            self.asked += 1
            self.locked = self.locked and not self.agrees
            address = DBusAddress(path, interface="org.freedesktop.Secret.Prompt")
            yield new_signal(address, "Completed", "bv", (not self.agrees, ("s", "")))

    def on_OpenSession(self, _, algorithm, __):
        assert algorithm == "plain"
        return "vo", ("s", ""), f"{self.ROOT}/session/1"

    def on_SearchItems(self, _, attributes):
        hits = [item for item, (known, _) in self.entries.items() if attributes.items() <= known.items()]
        return ("aoao", [], hits) if self.locked else ("aoao", hits, [])

    def on_ReadAlias(self, _, __):
        return "o", f"{self.ROOT}/collection/login"

    def on_Get(self, *_):
        return "v", ("b", self.locked)

    def on_Unlock(self, _, objects):
        return ("aoo", [], f"{self.ROOT}/prompt/1") if self.locked else ("aoo", objects, "/")

    def on_Prompt(self, *_):
        return ("",)

    def on_CreateItem(self, collection, properties, secret, _):
        assert not self.locked
        item = f"{collection}/{len(self.entries) + 1}"
        self.entries[item] = (properties["org.freedesktop.Secret.Item.Attributes"][1], bytes(secret[2]))
        return "oo", item, "/"

    def on_GetSecret(self, item, session):
        assert not self.locked
        return "(oayays)", (session, b"", self.entries[item][1], "text/plain")


class Tray:
    """The newest tray icon that registered with a panel."""

    def __init__(self, panel, timeout=20):
        end = time.monotonic() + timeout
        while not panel.items:
            assert time.monotonic() < end, "no tray icon came"
            time.sleep(0.05)
        self.connection = open_dbus_connection(bus="SESSION")
        self.bus, self.path = panel.items[-1]
        values = ask(self.connection, DBusAddress(self.path, self.bus, PROPERTIES), "GetAll", "s", ITEM)[0]
        self.properties = {name: value[1] for name, value in values.items()}
        self.menu_address = DBusAddress(self.properties["Menu"], self.bus, MENU)

    def icon(self):
        name = ask(self.connection, DBusAddress(self.path, self.bus, PROPERTIES), "Get", "ss", ITEM, "IconName")[0][1]
        return name

    def menu(self):
        """The menu as (label, checked or None, enabled, id, children)."""
        return self._node(ask(self.connection, self.menu_address, "GetLayout", "iias", 0, -1, [])[1])[4]

    def _node(self, raw):
        ident, values, children = raw
        values = {name: value[1] for name, value in values.items()}
        label = values.get("label", "").replace("__", "\0").replace("_", "").replace("\0", "_")
        checked = values.get("toggle-state") == 1 if values.get("toggle-type") else None
        return label, checked, values.get("enabled", True), ident, [self._node(child) for _, child in children]

    def find(self, *path):
        nodes = self.menu()
        for part in path:
            hits = [node for node in nodes if node[0] == part]
            assert len(hits) == 1, f"{part!r} is there {len(hits)} times among {[node[0] for node in nodes]}"
            node, nodes = hits[0], hits[0][4]
        return node

    def tool(self, ident, name):
        """The line of a tool, whatever is said of its state: by its name where it was found, else by its id."""
        lines = [node[0] for node in self.find("Tools")[4]]
        return next(line for line in lines if line in (ident, name) or line.startswith(f"{name} · "))

    def checked(self, *path):
        return [node[0] for node in (self.find(*path)[4] if path else self.menu()) if node[1]]

    def click(self, *path):
        node = self.find(*path)
        assert node[2], f"{path} cannot be clicked"
        self.press(node)

    def press(self, node):
        stamp = int(time.time()) & 0xFFFFFFFF
        ask(self.connection, self.menu_address, "Event", "isvu", node[3], "clicked", ("i", 0), stamp)

    def wait(self, what, test, timeout=10):
        end = time.monotonic() + timeout
        while True:
            try:
                if test(self):
                    return
                seen = "not so"
            except (AssertionError, RuntimeError) as why:
                seen = why
            assert time.monotonic() < end, f"{what}: {seen}; the menu: {[node[0] for node in self.menu()]}"
            time.sleep(0.02)


def session_bus():
    assert os.environ.get("DBUS_SESSION_BUS_ADDRESS"), "run under dbus-run-session"
