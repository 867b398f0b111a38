#!/usr/bin/python3
"""Clicks an item of the tray's menu, found by the labels on the way to it.

    menu.py [--has] LABEL…     --has only tells by its exit code whether the item is there
"""

import sys

import dbus

MENU = "com.canonical.dbusmenu"


def item_name(bus):
    names = [str(n) for n in bus.list_names() if n.startswith("org.kde.StatusNotifierItem-")]
    if len(names) != 1:
        sys.exit(f"not one icon but {names}")
    return names[0]


def find(node, labels):
    for label in labels:
        below = [n for n in node[2] if str(n[1].get("label", "")).startswith(label)]
        if not below:
            shown = [str(n[1].get("label", "")) for n in node[2]]
            sys.exit(f"no {label!r} among {shown}")
        node = below[0]
    return node


def main():
    labels = sys.argv[1:]
    only_look = labels[:1] == ["--has"]
    if only_look:
        labels = labels[1:]
    bus = dbus.SessionBus()
    menu = dbus.Interface(bus.get_object(item_name(bus), "/MenuBar"), MENU)
    _, layout = menu.GetLayout(0, -1, [])
    node = find(layout, labels)
    if not only_look:
        menu.Event(node[0], "clicked", dbus.Int32(0), dbus.UInt32(0))


if __name__ == "__main__":
    main()
