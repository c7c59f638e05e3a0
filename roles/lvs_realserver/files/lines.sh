# shellcheck shell=sh disable=SC2154
# Makes the lines of /etc/$name.conf true from the first to the last, and undoes from the last to the first what that file does not say any
# more. A line is a kind and its words; KIND_is, KIND_make and KIND_undo above are what a kind means. (From role lvs_realserver, files/lines.sh.)
#   plan   prints what is missing ("+") and what is left over ("-")
#   start  does it; a reload is the same, so what stays is never gone for a moment
#   stop   undoes everything
conf=/etc/$name.conf
state=/run/$name
made=$state/made  # lines of the configuration that are this script's to undo, in their order
was=$state/was    # what settings were before: "KEY VALUE"

# sysctl KEY VALUE
sysctl_is() { [ "$(cat "/proc/sys/$1" 2>/dev/null)" = "$2" ]; }
sysctl_make() {
    grep -qs "^$1 " "$was" || echo "$1 $(cat "/proc/sys/$1")" >>"$was"
    echo "$2" >"/proc/sys/$1"
}
sysctl_undo() {
    # The same setting with another value was made before this is undone.
    if grep -q "^sysctl $1 " "$conf"; then return; fi
    [ ! -e "/proc/sys/$1" ] || sed -n "s|^$1 ||p" "$was" >"/proc/sys/$1"
    sed -i "\\|^$1 |d" "$was"
}

# Kinds and their words are split on purpose: no value in these files holds a space.
# shellcheck disable=SC2086
plan() {
    grep '^[a-z]' "$conf" | while read -r kind words; do
        "${kind}_is" $words || echo "+ $kind $words"
    done
    [ ! -e "$made" ] || tac "$made" | while read -r line; do
        grep -qxF "$line" "$conf" || echo "- $line"
    done
}

# shellcheck disable=SC2086
apply() {
    mkdir -p "$state"
    rm -f "$state/done"
    touch "$made"
    plan >"$state/plan"
    while read -r sign kind words; do
        echo "$sign $kind $words"
        if [ "$sign" = + ]; then
            grep -qxF "$kind $words" "$made" || echo "$kind $words" >>"$made"
            "${kind}_make" $words
        else
            "${kind}_undo" $words
            sed -i "\\|^$kind $words\$|d" "$made"
        fi
    done <"$state/plan"
    settle
    plan >"$state/plan"
    if [ -s "$state/plan" ]; then
        echo "This could not be had:" >&2
        cat "$state/plan" >&2
        return 1
    fi
    touch "$state/done"
}

case ${1-} in
start)
    # In a process of its own: inside a condition the shell would go on after an error.
    mkdir -p "$state"
    status=0
    "$0" apply >"$state/log" 2>&1 || status=$?
    cat "$state/log"
    exit "$status"
    ;;
apply)
    apply
    ;;
stop)
    conf=/dev/null
    apply
    rm -r "$state"
    ;;
plan)
    plan
    [ -e "/etc/systemd/system/multi-user.target.wants/$name.service" ] || echo "+ start at boot"
    [ -e "$state/done" ] || echo "+ start now"
    ;;
*)
    echo "usage: $0 plan|start|stop" >&2
    exit 2
    ;;
esac
