# shellcheck shell=sh
# Read by `sh -s USER SITE MAIN DROP_IN STARTED LOADED DEFAULT_SITE CLAIM FILE...`. Says in one process what the role must know of the host, a line each:
# "version N" of nginx, "memory MB", "processors N", "files N" that any service may have open; "module" when nginx's JavaScript module is there; "enabled"
# when nginx starts at boot; "group NAME" for each group of USER; "other FILE" for a site of somebody else's or a main configuration that is not as
# packaged; "main" when that is the role's; "default" when the default site claims our ports; "restart" or "reload" when nginx runs without what lies on the
# disk; and of each FILE "has FILE", "SHA256  FILE" and "MODE OWNER:GROUP  FILE".
set -u
user=$1 site=$2 main=$3 drop_in=$4 started=$5 loaded=$6 default_site=$7 claim=$8
shift 8
awk '/^MemTotal:/ { print "memory", int($2 / 1024) }' /proc/meminfo
awk '/^Max open files/ { print "files", $5 }' /proc/1/limits
echo "processors $(getconf _NPROCESSORS_ONLN)"
command -v nginx >/dev/null && nginx -v 2>&1 | sed -n 's|^nginx version: [^/]*/\([0-9.]*\).*|version \1|p'
! ls /usr/lib*/nginx/modules/ngx_http_js_module.so >/dev/null 2>&1 || echo module
[ "$(systemctl is-enabled nginx 2>/dev/null)" != enabled ] || echo enabled
for each in $(id -nG "$user" 2>/dev/null); do echo "group $each"; done

edited=$({ dpkg --verify nginx-common nginx || rpm --verify nginx-core nginx; } 2>/dev/null)
if grep -qs '^# Role imageops.lvs_fastdfs.nginx' "$main"; then
    echo main
elif echo "$edited" | grep -q " $main\$"; then
    echo "other $main"
fi
# The default site is the distribution's as long as it is a file of the package, and as packaged. Else it is somebody's.
if [ -e "$default_site" ]; then
    real=$(readlink -f "$default_site")
    if ! { dpkg -S "$real" || rpm -qf "$real"; } >/dev/null 2>&1 || echo "$edited" | grep -q " $real\$"; then
        default_site='' claim=''
    fi
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
    sha256sum "$each"
    stat -c '0%a %u:%g  %n' "$each"
    [ "$each" = "$drop_in" ] || [ -z "$(find -L "$each" -newer "$loaded" 2>/dev/null)" ] || echo reload
done
