# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role ``image_cluster`` and of the playbooks: thin wrappers over the pure functions of ``plugin_utils``."""

from __future__ import annotations

from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import (
    backup,
    cluster,
    cluster_problems,
    extra,
    foreign_firewall,
    pool,
    status,
    tracker_data,
    verify,
)


class FilterModule:
    """The contract's filters."""

    def filters(self):
        return {
            "backup_archives": backup.backup_archives,
            "backup_storages": backup.backup_storages,
            "cluster_disagreements": cluster_problems.disagreements,
            "cluster_members": cluster.members,
            "cluster_normal": cluster.normal,
            "cluster_overruled": cluster_problems.overruled,
            "cluster_plan": cluster.plan,
            "cluster_problems": cluster_problems.problems,
            "cluster_silent": cluster.silent,
            "extra_variable": extra.extra_variable,
            "foreign_drops": foreign_firewall.foreign_drops,
            "pool_away": pool.pool_away,
            "pool_drained": pool.pool_drained,
            "pool_order": pool.pool_order,
            "pool_serving": pool.pool_serving,
            "pool_stands": pool.pool_stands,
            "pool_weights": pool.pool_weights,
            "restore_wanted": backup.restore_wanted,
            "storage_names": pool.storage_names,
            "status_lines": status.status_lines,
            "tracker_data_problems": tracker_data.tracker_data_problems,
            "verify_direct": verify.direct_problems,
            "verify_links": verify.links,
            "verify_requests": verify.requests_needed,
            "verify_spread": verify.spread_problems,
            "verify_table": verify.table_lines,
            "verify_targets": verify.upload_targets,
            "verify_wrong": verify.wrong_answers,
        }
