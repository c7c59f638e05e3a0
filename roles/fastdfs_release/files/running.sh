# shellcheck shell=sh
# Read by `sh -s UNIT PROGRAM [check]`, in the roles of both daemons. Prints "stale" when the unit does not run, or was started with
# other files than are there now (a run that was interrupted between writing a file and the restart leaves it so), else nothing.
[ -x "$2" ] || {
    echo "$2 is not there: install a release first (role fastdfs_release)." >&2
    exit 1
}
if systemctl --quiet is-active "$1" &&
    [ "$(systemctl show --property=NeedDaemonReload --value "$1")" = no ] &&
    sha256sum --check --status "/run/$1/started" 2>/dev/null; then
    exit 0
fi
# A unit that failed often is refused another start for a while, also after what was wrong has been put right.
[ "${3:-}" = check ] || systemctl reset-failed "$1" 2>/dev/null
echo stale
