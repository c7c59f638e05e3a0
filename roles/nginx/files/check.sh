# shellcheck shell=sh
# Read by `sh -s SITE ACCEPTED`. Asks nginx about its whole configuration. ACCEPTED is a copy of the SITE that it took last: when it
# refuses the new one, that is the SITE again (none, when there was none). The copy's time is kept: it is older than what nginx has loaded.
set -u
site=$1 accepted=$2
if nginx -t -q; then
    mkdir -p "${accepted%/*}"
    if [ -e "$site" ]; then cp "$site" "$accepted"; else rm -f "$accepted"; fi
    exit
fi
if [ -e "$accepted" ]; then cp -p "$accepted" "$site"; else rm -f "$site"; fi
echo "nginx refused this configuration; the one before is back in $site." >&2
exit 1
