"""Sleep, screen lock and session end by the templates of python-dbusmock; texts of notifications."""

import os
import re
import subprocess
import time

import dbus
import dbusmock

HOME = os.environ["HOME"]
LOGIN = "org.freedesktop.login1"
NOTIFY_LINE = re.compile(r'Notify "oxcrypt" \d+ "[^"]*" "([^"]*)" "([^"]*)"')


def until(what, is_so, seconds=20):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit(f"not in time: {what}")
        time.sleep(0.02)


def is_mounted(name):
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        return f" {HOME}/Vaults/{name} " in table.read()


class Bed(dbusmock.DBusTestCase):
    """The buses with their services, and the tray."""

    def start(self):
        self.start_system_bus()
        system = self.get_dbus(system_bus=True)
        self.logind, login = self.spawn_server_template("logind", {})
        self.login = dbus.Interface(login, dbusmock.MOCK_IFACE)
        self.manager_of_login = dbus.Interface(login, f"{LOGIN}.Manager")
        path = self.login.AddSession("c1", "seat0", os.getuid(), "me", True)
        self.session = dbus.Interface(
            system.get_object(LOGIN, path), dbusmock.MOCK_IFACE
        )
        self.log = open(f"{HOME}/notifications", "w+", encoding="utf-8")
        self.server, _ = self.spawn_server_template("notification_daemon", {}, stdout=self.log)
        self.saver, saver = self.spawn_server_template("gnome_screensaver", {})
        self.screen_saver = dbus.Interface(saver, dbusmock.MOCK_IFACE)
        environment = dict(os.environ, XDG_SESSION_ID="c1")
        self.tray = subprocess.Popen(["oxcrypt-tray"], env=environment)
        bus = dbus.SessionBus()
        until("the tray serves", lambda: bus.name_has_owner("org.oxcrypt.Manager1"))
        manager = bus.get_object("org.oxcrypt.Manager1", "/org/oxcrypt/Manager1")
        self.manager = dbus.Interface(manager, "org.oxcrypt.Manager1")
        self.manager.ListVaults()
        until("an inhibitor is held", lambda: self.inhibitors() > 0)

    def inhibitors(self):
        """How many processes keep the machine from sleeping at once."""
        return len(self.manager_of_login.ListInhibitors())

    def told(self):
        """Summaries and bodies of notifications so far."""
        with open(f"{HOME}/notifications", encoding="utf-8") as log:
            return NOTIFY_LINE.findall(log.read())

    def unlock(self):
        for name in ("work", "home"):
            if not is_mounted(name):
                self.manager.Ask(name, False, timeout=60)
            assert is_mounted(name), name

    def until_locked(self, why, seconds=5):
        start = time.monotonic()
        until(f"locked: {why}", lambda: not is_mounted("work") and not is_mounted("home"), seconds)
        print(f"{why}: locked in {time.monotonic() - start:.2f} s")
        text = ("A vault was locked", why)
        until(f"told: {why}", lambda: self.told().count(text) >= 2)

    def run_all(self):
        self.unlock()
        until("told: unlocked", lambda: ("A vault was unlocked", "") in self.told())

        # logind waits five seconds for its inhibitors.
        self.login.EmitSignal(f"{LOGIN}.Manager", "PrepareForSleep", "b", [True])
        self.until_locked("The computer goes to sleep")
        until("the inhibitor is let go", lambda: self.inhibitors() == 0)
        self.login.EmitSignal(f"{LOGIN}.Manager", "PrepareForSleep", "b", [False])
        until("it is taken again", lambda: self.inhibitors() > 0)

        self.unlock()
        self.session.EmitSignal(f"{LOGIN}.Session", "Lock", "", [])
        self.until_locked("The screen was locked")

        self.unlock()
        user = subprocess.Popen(["sleep", "600"], cwd=f"{HOME}/Vaults/work")
        self.login.EmitSignal(f"{LOGIN}.Manager", "PrepareForShutdown", "b", [True])
        until("let go although a vault is in use", lambda: self.inhibitors() == 0, 5)
        assert is_mounted("work") and not is_mounted("home")
        text = f"It is in use by sleep ({user.pid}) (the session ends)"
        until("told who", lambda: ("A vault could not be locked", text) in self.told())
        user.kill()
        user.wait()

        self.unlock()
        path = "/org/freedesktop/login1/session/c1"
        session = dbus.ObjectPath(path)
        self.login.EmitSignal(f"{LOGIN}.Manager", "SessionRemoved", "so", ["c1", session])
        self.until_locked("The session ends")

        self.unlock()
        self.screen_saver.EmitSignal("org.gnome.ScreenSaver", "ActiveChanged", "b", [True])
        until("locked by the screen saver", lambda: not is_mounted("work"), 5)

        told = self.told()
        assert not any("work" in s + b or "home" in s + b for s, b in told), told
        self.manager.Quit(False)
        assert self.tray.wait(20) == 0
        print(f"{len(told)} notifications, none with a name")

    def stop(self):
        for process in (self.tray, self.saver, self.server, self.logind):
            process.terminate()
            process.wait()


Bed.setUpClass()
bed = Bed()
try:
    bed.start()
    bed.run_all()
finally:
    bed.stop()
    Bed.tearDownClass()
