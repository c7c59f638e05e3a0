# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and writes the kernel's table through ``ipvsadm -R``, one process each, and keeps the promise of all or nothing.

The exit status of ``ipvsadm -R`` is that of its last line and its errors carry no line number, so neither is used to
judge a write: the table is read back in the same process and compared.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import Callable, Tuple

from . import plan as planning
from . import proc
from .desired import Desired, InputError
from .model import DEFAULT_SCHEDULER, FWMARK, MAX_MARK, Service, ServiceId, Table
from .parse import Listing, ParseError, parse
from .plan import Policy, Step
from .render import delete_service_line, service_line

READ = ("-S -n", "-L -n --thresholds", "-L --timeout", "-L --daemon")
# What /proc/net/ip_vs does not show.
READ_BESIDE_PROC = ("-L --timeout", "-L --daemon")
READ_COUNTERS = (*READ, "-L -n --stats --exact", "-L -n --rate --exact", "-v")
NOT_INSTALLED = "ipvsadm is not installed; the package is called ipvsadm"
NO_SCHEDULERS = ("ftp",)  # modules that are called like one
SHOWN = 10  # objects named in a message before it says how many more there are

# Lines for ipvsadm -R; back come exit status, standard output and standard error.
Ipvsadm = Callable[[str], Tuple[int, str, str]]


class IpvsError(Exception):
    """The kernel or ipvsadm did not do what it was asked.

    ``plan`` has the lines that were to be run, ``problems`` each object that is not as it was asked, also where the message has some.
    """

    def __init__(
        self, message: str, plan: list[Step] | None = None, problems: list[str] | None = None
    ) -> None:
        super().__init__(message)
        self.plan = plan or []
        self.problems = problems or [message]


@dataclass(frozen=True)
class Host:
    """What the code below needs of a machine. ``ipvsadm`` is None where it is not installed, and ``shown`` gives /proc/net/ip_vs."""

    ipvsadm: Ipvsadm | None
    loaded: Callable[[], bool]
    offered: Callable[[], frozenset[str] | None]
    shown: Callable[[], str] = lambda: ""


@dataclass
class Outcome:
    """The table before and after (in check mode: as it would be), the steps, and what to warn of."""

    before: Table
    after: Table
    steps: list[Step]
    warnings: list[str] = field(default_factory=list)


def host(module) -> Host:
    """The machine that an AnsibleModule runs on."""
    path = module.get_bin_path("ipvsadm")

    def ipvsadm(lines: str) -> tuple[int, str, str]:
        # Not module.run_command, which writes all lines before it reads a word: ipvsadm says one for each line that the kernel refuses,
        # and both would wait for each other. What is written to one that has ended is no failure either: what stands is read afterwards.
        ran = subprocess.run(  # pylint: disable=ansible-bad-function
            [path, "-R"],
            input=lines,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "LC_ALL": "C", "LANG": "C", "LANGUAGE": "C"},
            check=False,
        )
        return ran.returncode, ran.stdout, ran.stderr

    return Host(ipvsadm if path else None, loaded, lambda: offered(os.uname().release), shown)


def shown(path: str = proc.PATH) -> str:
    """The kernel's own short listing of its table; empty where it cannot be read."""
    try:
        with open(path) as listing:
            return listing.read()
    except OSError:
        return ""


def loaded(path: str = proc.PATH) -> bool:
    """Whether the kernel has IPVS in it now. Even ``ipvsadm -v`` would load it, a look at this file does not."""
    return os.path.exists(path)


def offered(release: str, modules: str = "/lib/modules", sysfs: str = "/sys/module") -> frozenset[str] | None:
    """Names of the schedulers (and ``pe_`` engines) that this kernel release has, or None where that cannot be told."""
    names: set[str] = set()
    for index in ("modules.dep", "modules.builtin"):
        try:
            with open(os.path.join(modules, release, index)) as lines:
                names.update(re.findall(r"^\S*/ip_vs_([a-z0-9_]+)\.ko", lines.read(), re.MULTILINE))
        except OSError:
            if index == "modules.dep":
                return None
    if os.path.isdir(sysfs):
        names.update(name[6:] for name in os.listdir(sysfs) if name.startswith("ip_vs_"))
    return frozenset(names)


def read(ipvsadm: Ipvsadm, lines: tuple[str, ...] = READ) -> Listing:
    """Read the whole table in one process. This loads IPVS where it is not loaded. Raises IpvsError."""
    status, output, errors = ipvsadm("\n".join(lines) + "\n")
    listing = _parse(output)
    if listing.timeouts is None:
        raise IpvsError(_why_unreadable(errors, status))
    return listing


def reconcile(host: Host, wanted: Desired, rules: Policy, check: bool = False) -> Outcome:
    """Make the kernel hold what is asked, and return what was and what is.

    Raises InputError for what this kernel cannot have and IpvsError when it does not hold it afterwards. In both cases
    the table is as it was before, or the message says what could not be put back.
    """
    warnings = []
    before = Table()
    ready = host.loaded()
    if host.ipvsadm is None and check:
        warnings.append("ipvsadm is not installed: the plan assumes an empty table")
    elif host.ipvsadm is None and ready:
        raise IpvsError(NOT_INSTALLED)
    elif ready:
        before = read(host.ipvsadm).table()
    after, steps = _next(before, wanted, rules)
    if check or not steps:
        # What the kernel has is only looked up here: to ask it would load or write something.
        if check or wanted.leaving:
            _refuse_missing(host.offered(), before, after, wanted)
        return Outcome(before, after, steps, warnings)
    if host.ipvsadm is None:
        raise IpvsError(NOT_INSTALLED, steps)
    if not ready:
        before = read(host.ipvsadm).table()  # loads IPVS; somebody may have been faster than we
        after, steps = _next(before, wanted, rules)
        if not steps:
            return Outcome(before, after, steps, warnings)
    _probe(host.ipvsadm, host.offered(), before, after, wanted)
    observed = _apply(host, before, after, steps, wanted)
    return Outcome(before, observed, steps, warnings)


def _next(before: Table, wanted: Desired, rules: Policy) -> tuple[Table, list[Step]]:
    after = planning.settle(before, wanted, rules)
    problems = planning.refused_by_kernel(after)
    if problems:
        raise InputError(problems)
    return after, planning.plan(before, after)


def _parse(output: str) -> Listing:
    try:
        return parse(output)
    except ParseError as error:
        raise IpvsError(str(error)) from error


def _why_unreadable(errors: str, status: int) -> str:
    said = errors.strip() or f"exit status {status}"
    if "must be root" in errors:
        return f"reading the IPVS table needs root: {said}"
    if "initialize ipvs" in errors:
        return f"the kernel has no IPVS (module ip_vs): {said}"
    return f"ipvsadm did not print the whole table: {said}"


def _needs(service: Service) -> list[tuple[str, str]]:
    """The parts of a service that are kernel modules of their own: the module's name after ``ip_vs_``, and the field."""
    needs = [(service.scheduler, "scheduler")] if service.scheduler else []
    if service.persistence_engine:
        needs.append(("pe_" + service.persistence_engine, "persistence_engine"))
    return needs


def _unproven(
    names: frozenset[str] | None, before: Table, after: Table, wanted: Desired
) -> list[tuple[Service, str]]:
    """Services that are to change or go, and their fields for which nothing shows that the kernel has the module."""
    proven = {name for name in names or () if name not in NO_SCHEDULERS}
    for service in before.services.values():
        proven.update(name for name, _field in _needs(service))
    changed = planning.changed_services(before, after)
    return [
        (service, what)
        for service in [*changed, *wanted.leaving]
        for name, what in _needs(service)
        if name not in proven or (what == "scheduler" and name.startswith("pe_"))
    ]


def _refuse(found: list[tuple[Service, str]], names: frozenset[str] | None) -> None:
    problems = []
    for service, what in found:
        engines = what == "persistence_engine"
        has = sorted(
            n[3:] if engines else n
            for n in names or ()
            if n.startswith("pe_") == engines and n not in NO_SCHEDULERS
        )
        offer = f"; it offers {', '.join(has)}" if has else ""
        problems.append(f"{service.id}: {what}: the kernel has no {getattr(service, what)!r}{offer}")
    if problems:
        raise InputError(problems)


def _refuse_missing(names: frozenset[str] | None, before: Table, after: Table, wanted: Desired) -> None:
    if names:
        _refuse(_unproven(names, before, after, wanted), names)


def _probe(
    ipvsadm: Ipvsadm, names: frozenset[str] | None, before: Table, after: Table, wanted: Desired
) -> None:
    """Ask the kernel for schedulers and engines that nothing else vouches for, with services of marks nobody has."""
    unproven = _unproven(names, before, after, wanted)
    if not unproven:
        return
    trials = {}
    mark = MAX_MARK // 2
    for service, what in unproven:
        trial = (what, getattr(service, what))
        while trial not in trials:
            name = ServiceId(FWMARK, "ipv4", "", mark)
            mark -= 1
            if name in before.services or name in after.services:
                continue
            if what == "scheduler":
                trials[trial] = Service(name, service.scheduler)
            else:
                vouched = (service, "scheduler") not in unproven
                scheduler = (service.scheduler if vouched else "") or DEFAULT_SCHEDULER
                trials[trial] = Service(name, scheduler, (), 60, 32, service.persistence_engine)
    lines = [service_line("-A", service) for service in trials.values()]
    lines += READ
    lines += [delete_service_line(service.id) for service in trials.values()]
    held = _parse(ipvsadm("\n".join(lines) + "\n")[1]).services
    _refuse([found for found in unproven if trials[found[1], getattr(*found)].id not in held], names)


def write(ipvsadm: Ipvsadm, steps: list[Step], reading: tuple[str, ...] = READ) -> tuple[Listing, str]:
    """Run the steps and read back in the same process; a line that ends ipvsadm early costs a second one.

    Returns what stands afterwards and what ipvsadm complained of; it is for the caller to judge the first.
    """
    lines = [step.line for step in steps]
    _status, output, errors = ipvsadm("\n".join([*lines, *reading]) + "\n")
    listing = _parse(output)
    if listing.timeouts is None:
        listing = read(ipvsadm)
    return listing, errors.strip()


def _write_and_compare(
    host: Host, before: Table, after: Table, steps: list[Step]
) -> tuple[Table, str, list[Step]]:
    """Run the steps; back come the table that stands, what ipvsadm complained of, and what differs from the table that shall stand.

    The kernel's short listing takes a tenth of the time of ipvsadm's. It is believed where it tells all that was and all that shall be,
    shows exactly what shall be, and ipvsadm had nothing to complain of. Else everything is read: also where a long listing, which is
    read in pieces, lacks as many services as another network namespace has before them in the kernel's hash.
    """
    gains, steps = planning.in_parts(steps)
    said = ""
    if gains:
        _status, _output, said = host.ipvsadm("".join(f"{step.line}\n" for step in gains))
        if said.strip():
            table = read(host.ipvsadm).table()
            # A sync daemon that was stopped is started at the end.
            asked = {step.subject for step in gains if not step.line.startswith("--")}
            differences = planning.limited(planning.plan(table, after), asked)
            if any(step.gives for step in differences):
                return table, said.strip(), differences
    if proc.tells_all(before) and proc.tells_all(after):
        listing, errors = write(host.ipvsadm, steps, READ_BESIDE_PROC)
        others = (listing.timeouts, listing.sync_daemons) == (after.timeouts, after.sync_daemons)
        text = host.shown()
        if text and others and not said and not errors and proc.read(text) == proc.shown(after):
            return after, errors, []
        listing = read(host.ipvsadm)
    else:
        listing, errors = write(host.ipvsadm, steps)
    table = listing.table()
    return table, "\n".join(filter(None, (said.strip(), errors))), planning.plan(table, after)


def _apply(host: Host, before: Table, after: Table, steps: list[Step], wanted: Desired) -> Table:
    touched = {step.subject for step in steps}
    # With a service its real servers go.
    gone = [service for name, service in before.services.items() if name not in after.services]
    touched |= {(service.id, key) for service in gone for key in service.servers}
    try:
        observed, errors, differences = _write_and_compare(host, before, after, steps)
    except IpvsError as error:
        # Nobody knows what stands; where everything was made, this takes it back.
        observed, errors, problems = after, "", None
        message = f"what the kernel holds after the change cannot be read: {error}"
    else:
        wrong = planning.limited(differences, touched | planning.named_subjects(wanted))
        if not wrong:
            return observed
        made: dict = {}
        for step in steps:  # a sync daemon that changes is stopped and started
            made[step.subject] = " and ".join(filter(None, (made.get(step.subject), step.line)))
        problems = _named(wrong, made)
        message = "the kernel does not hold what was asked: " + _some(problems)
    if errors:
        message += f". ipvsadm said: {'; '.join(dict.fromkeys(errors.splitlines()))}"
    undo = planning.limited(planning.plan(observed, before), touched)
    restored, undo_errors = observed, ""
    if undo:
        try:
            listing, undo_errors = write(host.ipvsadm, undo)
        except IpvsError as error:
            raise IpvsError(
                f"{message}. Whether the table before was put back cannot be read: {error}", steps, problems
            ) from error
        restored = listing.table()
    left = planning.limited(planning.plan(restored, before), touched)
    if left:
        message += f". The table before could not be put back ({undo_errors}): " + _some(_named(left, {}))
    else:
        message += ". The table before was put back"
    raise IpvsError(message, steps, problems)


def _named(steps: list[Step], made: dict) -> list[str]:
    """Each object once, with the line that should have made it."""
    lines: dict[str, str] = {}
    for step in steps:
        lines.setdefault(planning.describe(step.subject), made.get(step.subject, step.line))
    return [f"{name} ({line})" for name, line in lines.items()]


def _some(named: list[str]) -> str:
    more = len(named) - SHOWN
    return ", ".join(named[:SHOWN]) + (f" and {more} more" if more > 0 else "")
