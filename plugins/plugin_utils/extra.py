# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was said with -e, and nothing else: the words of the day-two playbooks are short, and an inventory may have variables of such names."""

from __future__ import annotations

from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.utils.vars import load_extra_vars


def extra_variable(name: str, default: Any) -> Any:
    """The value of ``-e name=…``, else ``default``."""
    return load_extra_vars(DataLoader()).get(name, default)
