# shellcheck shell=sh
# Read by `sh -s SITE MAIN DROP_IN STARTED LOADED DEFAULT_SITE CLAIM FILE...`. Says in one process what the role must know of the host, a line each:
# "version N", "memory MB", "processors N", "files N" that any service may have open; "other FILE" for a site of somebody else's or a main configuration that is not as packaged; "main" when that
# is the role's; "default" when the default site claims our ports; "restart" or "reload" when nginx runs without what lies on the disk; "has FILE".
set -u
site=$1 main=$2 drop_in=$3 started=$4 loaded=$5 default_site=$6 claim=$7
shift 7
awk '/^MemTotal:/ { print "memory", int($2 / 1024) }' /proc/meminfo
awk '/^Max open files/ { print "files", $5 }' /proc/1/limits
echo "processors $(getconf _NPROCESSORS_ONLN)"
command -v nginx >/dev/null && nginx -v 2>&1 | sed -n 's|^nginx version: [^/]*/\([0-9.]*\).*|version \1|p'

if grep -qs '^# Role imageops.lvs_fastdfs.nginx' "$main"; then
    echo main
elif { dpkg --verify nginx-common nginx || rpm --verify nginx-core nginx; } 2>/dev/null | grep -q " $main\$"; then
    echo "other $main"
fi
for each in /etc/nginx/conf.d/*.conf /etc/nginx/sites-enabled/*; do
    [ ! -e "$each" ] || [ "$each" = "$site" ] || [ "$each" = "$default_site" ] || echo "other $each"
done
[ -z "$claim" ] || ! grep -qsE "$claim" "$default_site" || echo default

# A run that was interrupted, or that stopped at a refused configuration, left files that no nginx has loaded.
[ -e "$drop_in" ] && [ -z "$(find "$drop_in" -newer "$started" 2>&1)" ] || echo restart
[ -e "$loaded" ] || echo reload
for each in "$@"; do
    [ -e "$each" ] || continue
    echo "has $each"
    [ -z "$(find -L "$each" -newer "$loaded" 2>/dev/null)" ] || echo reload
done
