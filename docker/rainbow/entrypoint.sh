#!/bin/sh
# Starts the rainbow scheduler, its secrets from files.
#
#   SCHEDULER_SECRET_FILE  what registers a cluster (/run/secrets/rainbow/secret). It never becomes
#                          an argument, which `ps` shows: the scheduler reads it from a file
#   SCHEDULER_TOKEN_FILE   what submits to every cluster. Left empty, or the file is not there:
#                          each cluster gets a token of its own. The scheduler takes it as an
#                          argument only, so whoever may look at its processes sees it
#   SCHEDULER_ADDRESS      host:port to listen on (:8080)
#   SCHEDULER_DATABASE     sqlite file (/data/rainbow.db)
#   SCHEDULER_TLS_DIR      a folder with ca.crt, tls.crt and tls.key: mutual TLS, as cert-manager
#                          writes it. Left empty: no TLS
#   SCHEDULER_RUN_DIR      a folder of its own, in memory (/run/rainbow)
#
# Arguments are passed on to the scheduler.
set -eu

secret_file=${SCHEDULER_SECRET_FILE:-/run/secrets/rainbow/secret}
token_file=${SCHEDULER_TOKEN_FILE:-}
address=${SCHEDULER_ADDRESS:-:8080}
database=${SCHEDULER_DATABASE:-/data/rainbow.db}
tls=${SCHEDULER_TLS_DIR:-}
run=${SCHEDULER_RUN_DIR:-/run/rainbow}

fail() {
    echo "rainbow-entrypoint: $1" >&2
    exit 2
}

[ -r "$secret_file" ] || fail "SCHEDULER_SECRET_FILE=$secret_file cannot be read: mount the secret that registers clusters there"
secret=$(cat "$secret_file")
[ -n "$secret" ] || fail "SCHEDULER_SECRET_FILE=$secret_file is empty: write the secret that registers clusters into it"
case $secret in
*[![:print:]]*) fail "SCHEDULER_SECRET_FILE=$secret_file holds more than one line of text: a secret is one line" ;;
peanutbutta) echo "rainbow-entrypoint: WARNING: the registration secret is the one of the example manifests, which everybody can read; set one of your own" >&2 ;;
esac

token=
if [ -n "$token_file" ] && [ -e "$token_file" ]; then
    token=$(cat "$token_file")
fi

[ -w "$(dirname "$database")" ] || fail "SCHEDULER_DATABASE=$database: its folder cannot be written to by $(id -u): give the volume to this user"

umask 077
mkdir -p "$run"
# Between single quotes YAML knows one special character: the quote, written twice.
printf "scheduler:\n  secret: '%s'\n" "$(printf %s "$secret" | sed "s/'/''/g")" >"$run/config.yaml"

if [ -n "$tls" ]; then
    for name in ca.crt tls.crt tls.key; do
        [ -r "$tls/$name" ] || fail "SCHEDULER_TLS_DIR=$tls: $name is not there or cannot be read"
    done
    set -- --ca-cert "$tls/ca.crt" --cert "$tls/tls.crt" --key "$tls/tls.key" "$@"
fi

# An empty --secret: what is in the file counts.
exec rainbow-scheduler --host "$address" --db "$database" --name rainbow \
    --config "$run/config.yaml" --secret "" --global-token "$token" "$@"
