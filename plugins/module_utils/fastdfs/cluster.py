# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What trackers tell of a cluster, put together: its groups and storages, how far each lags, who is missing, what trackers disagree on."""

from __future__ import annotations

import time
from typing import Callable, Iterable, NamedTuple

from .client import STATUS, Client, FastdfsError
from .wire import STATUS_NAMES, STORAGE_ID, Address, GroupInfo, StorageInfo, TrackerStatus, WireError

# Storages that left their group. Trackers go on listing them.
GONE = ("DELETED", "IP_CHANGED", "NONE")
# Storages that trackers do not forget.
RUNNING = ("ONLINE", "ACTIVE", "RECOVERY")
STATUSES = tuple(STATUS_NAMES.values())
_GROUP_FIELDS = ("storage_count", "active_count", "total_mb", "free_mb", "store_path_count", "storage_port")
_STORAGE_FIELDS = (
    *("id", "address", "port", "status", "version", "total_mb", "free_mb", "store_path_count"),
    *("upload_priority", "join_time", "up_time", "last_heart_beat"),
    *("last_source_update", "last_sync_update", "last_synced_timestamp", "counters"),
)


class Group(NamedTuple):
    """A group and its storages, as one tracker tells them."""

    info: GroupInfo
    storages: list[StorageInfo]


class View(NamedTuple):
    """What one tracker told, or the sentence that says why it did not.

    ``groups`` are those that were asked for, by name, ``names`` all that it knows. ``status`` is None for a tracker that no storage
    ever joined.
    """

    tracker: Address
    error: str | None = None
    names: tuple[str, ...] = ()
    groups: dict[str, Group] = {}  # noqa: RUF012 (nobody changes it)
    status: TrackerStatus | None = None


class Wanted(NamedTuple):
    """What is waited for: that these storages, by address or id, have the status; all of these groups when none is named."""

    status: str = "ACTIVE"
    storages: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None


class NoAnswer(Exception):
    """No tracker answered, or none knows a group that was asked for."""


def wanted(given: dict, groups: list[str] | None) -> Wanted:
    """Check ``wait_for``. Raises WireError."""
    storages = given["storages"]
    if storages is not None and not storages:
        # An empty list is what a filter leaves that found nothing: it must not mean everything.
        raise WireError(
            "wait_for.storages: is empty; leave it out to wait for every storage that trackers know"
        )
    for storage in storages or ():
        if not STORAGE_ID.match(storage):
            raise WireError(
                f"wait_for.storages: {storage!r} is neither an IPv4 address nor an id; trackers know no other names"
            )
    return Wanted(
        given["status"],
        None if storages is None else tuple(dict.fromkeys(storages)),
        None if groups is None else tuple(dict.fromkeys(groups)),
    )


def view(client: Client, groups: Iterable[str] | None) -> View:
    """Ask the one tracker of this client for the groups with these names, or for all. Errors are in what it returns."""
    [tracker] = client.trackers
    try:
        listed = client.list_groups()
        kept = [group for group in listed if groups is None or group.name in groups]
        return View(
            tracker,
            None,
            tuple(group.name for group in listed),
            {group.name: Group(group, client.list_storages(group.name)) for group in kept},
            _status(client),
        )
    except FastdfsError as error:
        return View(tracker, str(error))
    except WireError as error:
        # Something that it told cannot be asked for.
        return View(tracker, f"tracker {tracker} answered garbage: {error}")


def _status(client: Client) -> TrackerStatus | None:
    try:
        return client.tracker_status()
    except FastdfsError as error:
        if error.kind != STATUS:
            raise
        return None


def require(views: list[View], groups: Iterable[str] | None) -> None:
    """Raises NoAnswer when no tracker answered, or when none that did knows one of these groups."""
    answering = [view for view in views if view.error is None]
    if not answering:
        raise NoAnswer("no tracker answered: " + "; ".join(view.error or "" for view in views))
    known = sorted({name for view in answering for name in view.names})
    for name in groups or ():
        if name not in known:
            raise NoAnswer(f"no tracker knows the group {name!r}; known: {', '.join(known) or 'none'}")


def lag(storage: StorageInfo, members: Iterable[StorageInfo]) -> int | None:
    """Seconds from what ``storage`` is known to have got to the last change that came to another member of its group, as fdfs_monitor does.

    None: others have changes and it is not known to have got any, or it has left the group. Who left does not count as another one.
    """
    if storage.status in GONE:
        return None
    others = [each for each in members if each.id != storage.id and each.status not in GONE]
    newest = max((each.last_source_update for each in others), default=0)
    if newest <= 0:
        return 0
    if storage.last_synced_timestamp <= 0:
        return None
    return max(0, newest - storage.last_synced_timestamp)


def shape(views: list[View]) -> dict:
    """What the module ``fastdfs_info`` returns. Groups are those of the first tracker that answered."""
    told = next((view for view in views if view.error is None), None)
    return {
        "trackers": [
            {
                "address": str(view.tracker),
                "reachable": view.error is None,
                "error": view.error,
                "leader": view.status.leader if view.status else None,
                "running_time": view.status.running_time if view.status else None,
            }
            for view in views
        ],
        "told_by": str(told.tracker) if told else None,
        "groups": [_group_shape(group) for group in told.groups.values()] if told else [],
        "disagreements": disagreements(views),
    }


def _group_shape(group: Group) -> dict:
    return {
        "name": group.info.name,
        **{name: getattr(group.info, name) for name in _GROUP_FIELDS},
        "storages": [
            {
                **{name: getattr(storage, name) for name in _STORAGE_FIELDS},
                "sync_lag": lag(storage, group.storages),
            }
            for storage in group.storages
        ],
    }


def disagreements(views: list[View]) -> list[str]:
    """A sentence for each storage of which the trackers that answered tell different things, and one for two leaders."""
    views = [view for view in views if view.error is None]
    said: dict[tuple[str, str], dict[Address, str]] = {}
    for view in views:
        for group in view.groups.values():
            for storage in group.storages:
                text = storage.status
                if storage.address != storage.id:
                    text += f" at {storage.address}"
                said.setdefault((group.info.name, storage.id), {})[view.tracker] = text
    sentences = []
    for (group_name, storage_id), texts in said.items():
        answers = [(view.tracker, texts.get(view.tracker, "not known")) for view in views]
        if len({text for _tracker, text in answers}) > 1:
            each = ", ".join(f"{text} to {tracker}" for tracker, text in answers)
            sentences.append(f"storage {storage_id} of {group_name} is {each}")
    leaders = [str(view.tracker) for view in views if view.status and view.status.leader]
    if len(leaders) > 1:
        sentences.append(f"each of {', '.join(leaders)} says that it leads")
    return sentences


def missing(views: list[View], waited: Wanted) -> list[str]:
    """What is not yet as it is wanted, a phrase each. It must be so for every tracker that answers, and one has to."""
    answering = [view for view in views if view.error is None]
    by_phrase: dict[str, list[str]] = {}
    for view in answering:
        for phrase in _lacks(view, waited):
            by_phrase.setdefault(phrase, []).append(str(view.tracker))
    phrases = [
        phrase if len(trackers) == len(answering) else f"{phrase} to {', '.join(trackers)}"
        for phrase, trackers in by_phrase.items()
    ]
    return phrases if answering else ["no tracker answers"]


def _lacks(view: View, waited: Wanted) -> list[str]:
    phrases = [f"group {name} is not known" for name in waited.groups or () if name not in view.groups]
    if waited.storages is None:
        for name, group in view.groups.items():
            counted = [each for each in group.storages if waited.status in GONE or each.status not in GONE]
            phrases += [_state(name, each) for each in counted if each.status != waited.status]
            if not counted:
                phrases.append(f"group {name} has no storage")
        if not view.groups and not waited.groups:
            phrases.append("no group is known")
        return phrases
    for wanted_storage in waited.storages:
        # The same address may have been another member before.
        found = [
            (name, each)
            for name, group in view.groups.items()
            for each in group.storages
            if wanted_storage in (each.address, each.id)
        ]
        if not found:
            where = f" in {', '.join(waited.groups)}" if waited.groups else ""
            phrases.append(f"storage {wanted_storage} is not known{where}")
        elif all(each.status != waited.status for _name, each in found):
            phrases += [_state(name, each) for name, each in found]
    return phrases


def _state(group: str, storage: StorageInfo) -> str:
    name = storage.address if storage.id in ("", storage.address) else f"{storage.address} (id {storage.id})"
    return f"storage {name} of {group} is {storage.status}"


def wait(
    look: Callable[[], list[View]],
    waited: Wanted,
    timeout: float,
    poll_interval: float,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[View], list[str], float]:
    """Look until nothing is missing, or ``timeout`` seconds are over and one more look was taken.

    Returns the last look, what was missing in it, and the seconds that were waited.
    """
    begin = now()
    while True:
        views = look()
        left = missing(views, waited)
        elapsed = now() - begin
        if not left or elapsed >= timeout:
            return views, left, elapsed
        sleep(min(poll_interval, timeout - elapsed))


def still_missing(waited: Wanted, views: list[View], left: list[str], elapsed: float) -> str:
    """The sentence of a wait that was in vain."""
    text = f"waited {elapsed:.1f} s for {waited.status}: {'; '.join(left)}"
    errors = [view.error for view in views if view.error is not None]
    return f"{text}. Not heard: {'; '.join(errors)}" if errors else text
