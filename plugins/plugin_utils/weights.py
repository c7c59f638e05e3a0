# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduler weights from capacities: the smallest integers that share the load as the capacities do."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

MAX_WEIGHT = 65535
# Capacities are compared in millionths of a millionth of the largest. That is far below any tolerance, and above the
# noise of floating point, so that capacities scaled by any factor are the same capacities.
UNITS = 10**12
PART = 10**9  # errors are integers, in parts of this
CAPACITY_VARIABLE = "image_cluster_capacity"


@dataclass(frozen=True)
class Shares:
    """Capacities in whole units, most first, their sum, and each that occurs once, least first."""

    units: tuple[int, ...]
    total: int
    kinds: tuple[int, ...]


def _shares(units: tuple[int, ...]) -> Shares:
    return Shares(units, sum(units), tuple(sorted(set(units))))


def scheduler_weights(
    capacities: dict,
    maximum: int = 100,
    tolerance: float = 0.01,
    drained: list | tuple = (),
    demand: dict | None = None,
) -> dict:
    """Integer weights for hosts by their capacities.

    ``capacities`` has for each host a number, or a mapping of resources such as ``{vcpus: 4, link_mbps: 1000}``; then
    ``demand`` says how much of each resource a unit of load takes, and the scarcest decides. Without a demand, load takes
    resources in the proportion in which the hosts have them together. A host without capacity and one in ``drained``
    get 0, every other one at least 1.

    The weights are those with the smallest sum, none above ``maximum``, by which every host's share of the load is within
    ``tolerance`` (relative) of the ideal and equal hosts are treated alike; where there are none, those within ``maximum``
    that come closest, with 1 for a host that is too small for ``maximum`` and no say for it in the others' weights.

    Raises ValueError that names the host and the value.
    """
    if not isinstance(capacities, dict):
        raise ValueError(f"capacities must be a mapping of host to capacity, not {capacities!r}")
    limit = _number("maximum", maximum)
    if limit.denominator != 1 or not 1 <= limit <= MAX_WEIGHT:
        raise ValueError(f"maximum must be an integer from 1 to {MAX_WEIGHT}, not {maximum!r}")
    allowed = math.floor(_number("tolerance", tolerance) * PART) + 1
    drained = _names("drained must be a list of hosts", drained)
    known = list(capacities)  # a list also answers for what cannot be a key
    unknown = [host for host in drained if host not in known]
    if unknown:
        raise ValueError(f"drained names {', '.join(map(str, unknown))}, which has no capacity")
    serving = {host: capacity for host, capacity in capacities.items() if host not in drained}
    for host in drained:
        _check(host, capacities[host])
    if demand is None:
        demand = _usual_demand(serving)
    amounts = {host: _amount(host, capacity, demand) for host, capacity in serving.items()}
    active = [host for host, amount in amounts.items() if amount]
    if not active:
        _refuse_nothing(serving, demand)
        return dict.fromkeys(capacities, 0)
    most = max(amounts[host] for host in active)
    units = {host: max(1, round(amounts[host] / most * UNITS)) for host in active}
    ranked = sorted(active, key=lambda host: (-units[host], -amounts[host], str(host)))
    ordered = tuple(units[host] for host in ranked)
    weights = dict(zip(ranked, _weights(_shares(ordered), int(limit), allowed)))
    return {host: weights.get(host, 0) for host in capacities}


def host_capacities(hosts: list, hostvars: dict, variable: str = CAPACITY_VARIABLE) -> dict:
    """Capacities of hosts, for ``scheduler_weights``.

    A host variable ``variable`` (a number or a mapping of resources) comes first, then the host's facts: ``vcpus`` is the
    number of processors, ``link_mbps`` the speed of the interface of the default route. A resource that is not known of
    every host is left out, so that hosts stay comparable. Raises ValueError that names the host.
    """
    found = {}
    for host in _names("hosts must be a list of names", hosts):
        if host not in hostvars:
            raise ValueError(f"{host}: is not in the inventory")
        known = hostvars[host]
        explicit = known.get(variable)
        found[host] = _facts(host, known, variable) if explicit is None else explicit
    resources = [capacity for capacity in found.values() if isinstance(capacity, dict)]
    if len(resources) < len(found):
        if resources:
            bare = ", ".join(host for host, capacity in found.items() if isinstance(capacity, dict))
            raise ValueError(f"{variable} is a number for some hosts: give {bare} a number too")
        return found
    common = set.intersection(*map(set, resources)) if resources else set()
    if resources and not common:
        raise ValueError(f"no resource is known of all of {', '.join(found)}: give each of them {variable}")
    return {
        host: {name: capacity[name] for name in capacity if name in common}
        for host, capacity in found.items()
    }


def _facts(host: str, known: dict, variable: str) -> dict:
    facts = known.get("ansible_facts") or {}
    vcpus = facts.get("processor_vcpus")
    if not vcpus:
        raise ValueError(
            f"{host}: has neither {variable} nor the fact processor_vcpus: set it, or gather facts"
        )
    resources = {"vcpus": vcpus}
    for family in ("default_ipv4", "default_ipv6"):
        interface = (facts.get(family) or {}).get("interface")
        if interface:
            speed = (facts.get(interface) or facts.get(interface.replace("-", "_")) or {}).get("speed")
            if re.match(r"^[1-9][0-9]*\Z", str(speed)):  # -1 is what drivers say that do not know
                resources["link_mbps"] = int(speed)
            break
    return resources


def _names(what: str, value) -> list:
    """A list, or whatever else a template makes that can be gone through; but not the letters of one name."""
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
        raise ValueError(f"{what}, not {value!r}")
    return list(value)


def _number(what: str, value) -> Fraction:
    """A number, or the digits of one, as the exact value that was written. Raises ValueError."""
    wrong = ValueError(f"{what} must be a number and at least 0, not {value!r}")
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Fraction)):
        raise wrong
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong
    try:
        number = Fraction(value if isinstance(value, (int, Fraction)) else str(value))
    except (ValueError, ZeroDivisionError):
        raise wrong from None
    if number < 0:
        raise wrong
    return number


def _check(host: str, capacity) -> None:
    """What is wrong with a drained host's capacity is said today, not on the day on which it is put back."""
    for name, value in capacity.items() if isinstance(capacity, dict) else [("capacity", capacity)]:
        _number(f"{host}: {name}", value)


def _usual_demand(capacities: dict) -> dict | None:
    """What the hosts have together of each resource; None where capacities are plain numbers."""
    total: dict = {}
    for host, capacity in capacities.items():
        for resource, value in capacity.items() if isinstance(capacity, dict) else ():
            total[resource] = total.get(resource, 0) + _number(f"{host}: {resource}", value)
    # Load takes nothing of what nobody has; where nobody has anything, every host is without capacity.
    return (total if any(total.values()) else dict.fromkeys(total, 1)) or None


def _refuse_nothing(serving: dict, demand: dict | None) -> None:
    """Hosts that have something and can take no load are a mistake; hosts that have nothing are none."""
    lacking = []
    for host, capacity in serving.items():
        if isinstance(capacity, dict) and any(_number(host, value) for value in capacity.values()):
            lacking += [
                f"{host} has no {name}" for name in demand or () if not _number(host, capacity.get(name, 0))
            ]
    if lacking:
        raise ValueError(
            f"no host can take any load: {', '.join(lacking)}; leave out of the demand what no load needs"
        )


def _amount(host: str, capacity, demand: dict | None) -> Fraction:
    """How many units of load a host can take."""
    if not isinstance(capacity, dict):
        if demand:
            raise ValueError(f"{host}: capacity must be a mapping of resources, not {capacity!r}")
        return _number(f"{host}: capacity", capacity)
    if not isinstance(demand, dict) or not demand:
        raise ValueError(
            f"{host}: capacity {capacity!r} has resources, so demand must be a mapping of them, not {demand!r}"
        )
    amounts = []
    for resource, needed in demand.items():
        each = _number(f"demand of {resource}", needed)
        if not each:
            continue
        if resource not in capacity:
            raise ValueError(f"{host}: capacity {dict(capacity)!r} has no {resource}, which is in demand")
        amounts.append(_number(f"{host}: {resource}", capacity[resource]) / each)
    if not amounts:
        raise ValueError(f"demand {demand!r} takes nothing of any resource")
    return min(amounts)


def _weights(shares: Shares, maximum: int, tolerance: int) -> list[int]:
    """Weights with the smallest sum within the tolerance, else what comes closest.

    Hosts that would get less than 1 when the largest gets the maximum get 1, which is too much for them however large the
    others' weights are. So those are fitted among themselves, and are as large as can be.
    """
    weights = _first(shares, _sums(shares, maximum, tolerance), maximum, tolerance)
    if weights:
        return weights
    # Units are rounded.
    large = tuple(unit for unit in shares.units if (unit + 1) * maximum >= shares.units[0])
    tiny = len(shares.units) - len(large)
    if tiny:
        shares = _shares(large)
        weights = _first(shares, _sums(shares, maximum, tolerance)[::-1], maximum, tolerance)
    if not weights:
        error = _least_error(shares, maximum)
        sums = _sums(shares, maximum, error)
        weights = _first(shares, sums[::-1] if tiny else sums, maximum, error) or []
    return weights + [1] * tiny


def _first(shares: Shares, sums: range, maximum: int, error: int) -> list[int] | None:
    """The first weights within the error that treat equal hosts alike; else the first."""
    first = None
    for whole, windows in _possible(shares, sums, maximum, error):
        weights = _fit(shares, whole, windows)
        if len(set(zip(shares.units, weights))) == len(shares.kinds):
            return weights
        first = first or weights
    return first


def _possible(
    shares: Shares, sums: range, maximum: int, error: int
) -> Iterator[tuple[int, tuple[list[int], list[int]]]]:
    """Those of the sums that weights within the error can have, in the order of the range, and the windows of the weights."""
    scale = shares.total * PART
    whole = sums.start
    while whole in sums:
        unit = _stuck(shares, whole, maximum, error)
        windows = None if unit else _windows(shares, whole, maximum, error)
        if windows:
            yield whole, windows
        steps = 1
        if unit:  # no sum will do before the window of this one has come to the next integer
            high = unit * whole * (PART + error) // scale
            if sums.step > 0:
                far = -(-(high + 1) * scale // (unit * (PART + error))) - whole
            else:
                far = whole - min(maximum, high) * scale // (unit * max(1, PART - error))
            steps = max(1, -(-far // abs(sums.step)))
        whole += steps * sums.step


def _least_error(shares: Shares, maximum: int) -> int:
    """The smallest error that weights within the maximum can have."""
    # Weights in proportion to the largest, which gets the maximum, are near the best: what follows is quick then.
    near = sum(max(1, round(maximum * unit / shares.units[0])) for unit in shares.units)
    error = _least_error_at(shares, near, maximum, PART * (shares.total // shares.units[-1] + 1))
    sums = _sums(shares, maximum, error)
    # In their order, each could be a little better than the one before. After every eighth of them, few are; and so on.
    for level in range(len(sums).bit_length() // 3, -1, -1):
        some = sums[:: 8**level]
        start = some.start
        while True:
            better = next(_possible(shares, range(start, some.stop, some.step), maximum, error - 1), None)
            if not better:
                break
            start = better[0]
            error = _least_error_at(shares, start, maximum, error - 1)
    return error


def _least_error_at(shares: Shares, whole: int, maximum: int, error: int) -> int:
    """The smallest error with this sum, by bisection below one that is possible."""
    low = -1
    while error - low > 1:
        middle = (low + error) // 2
        if not _stuck(shares, whole, maximum, middle) and _windows(shares, whole, maximum, middle):
            error = middle
        else:
            low = middle
    return error


def _sums(shares: Shares, maximum: int, error: int) -> range:
    """The sums that weights within the error can have: the smallest is at least 1, the largest at most the maximum."""
    smallest = -(-shares.total * PART // (shares.units[-1] * (PART + error)))
    largest = maximum * len(shares.units)
    rest = shares.total
    for count, unit in enumerate(shares.units, start=1):
        rest -= unit
        # With the first ones at the maximum, the others cannot be above the upper ends of their windows.
        room = shares.total * PART - rest * (PART + error)
        if room > 0:
            largest = min(largest, maximum * count * shares.total * PART // room)
    return range(max(smallest, len(shares.units)), largest + 1)


def _stuck(shares: Shares, whole: int, maximum: int, error: int) -> int | None:
    """A unit for which no weight within the error exists with this sum."""
    scale = shares.total * PART
    least, most = whole * (PART - error), whole * (PART + error)
    if shares.kinds[-1] * least > maximum * scale:
        return shares.kinds[-1]
    gaps = PART // (2 * error) + 1 if error > 0 else PART
    if gaps > len(shares.kinds):
        return next((unit for unit in shares.kinds if -(-unit * least // scale) > unit * most // scale), None)
    # Windows overlap beyond these integers. Whose lies between an integer and the next one has none.
    for integer in range(gaps):
        at = bisect_right(shares.kinds, integer * scale // least if integer else 0)
        if at < len(shares.kinds) and shares.kinds[at] * most < (integer + 1) * scale:
            return shares.kinds[at]
    return None


def _windows(shares: Shares, whole: int, maximum: int, error: int) -> tuple[list[int], list[int]] | None:
    """The lowest and the highest weights within the error for this sum, or None when they cannot add up to it."""
    scale = shares.total * PART
    least, most = whole * (PART - error), whole * (PART + error)
    lows = [max(1, -(-unit * least // scale)) for unit in shares.units]
    highs = [min(maximum, unit * most // scale) for unit in shares.units]
    return (lows, highs) if sum(lows) <= whole <= sum(highs) else None


def _fit(shares: Shares, whole: int, windows: tuple[list[int], list[int]]) -> list[int]:
    """The weights with this sum that lie in their windows: the nearest integers, and what is missing shared out.

    It goes to the largest first and is taken from the smallest first, which keeps the order of capacities.
    """
    lows, highs = windows
    nearest = [(2 * unit * whole + shares.total) // (2 * shares.total) for unit in shares.units]
    weights = [min(max(weight, low), high) for weight, low, high in zip(nearest, lows, highs)]
    missing = whole - sum(weights)
    step = 1 if missing > 0 else -1
    order = range(len(weights))[::step]
    while missing:
        for index in order:
            if missing and lows[index] <= weights[index] + step <= highs[index]:
                weights[index] += step
                missing -= step
    return weights
