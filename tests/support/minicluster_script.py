"""For tests: what the Flux operator's script does in a pod, in its order, in our own words.

Facts: flux-framework/flux-operator 0d75cef, pkg/flux: the view's container writes the
configuration, then the application container looks for the view, sets its paths, makes R and the
brokers' certificate, and starts a broker by its host name.
"""

from __future__ import annotations

from dataclasses import dataclass

_BROKER_TOML = """\
[access]
allow-guest-user = true
allow-root-owner = true

[resource]
path = "/mnt/flux/config/etc/flux/system/R"

[bootstrap]
curve_cert = "/mnt/flux/config/curve/curve.cert"
default_port = 8050
default_bind = "tcp://eth0:%p"
default_connect = "tcp://%h.{domain}:%p"
hosts = [
  {{ host = "{hosts}" }},
]

[sched-fluxion-qmanager]
queue-policy = "fcfs"
"""

_SCRIPT = """\
#!/bin/bash
{init}
viewroot=/mnt/flux/view
configroot=/mnt/flux/config
cfg=$configroot/etc/flux/config
command="{command}"

# The view: last on PATH and on PYTHONPATH, which begins with a colon when it was empty.
{paths}

# The certificate comes from a read-only place and has to be the user's own.
mkdir -p $configroot/curve
cp /flux_operator/curve.cert $configroot/curve/curve.cert
chmod go-r $configroot/curve/curve.cert
chown -R "$(id -u)" $configroot/curve/curve.cert

hosts=$(cat $configroot/etc/flux/system/hostlist)
flux R encode --hosts=$hosts --local > /tmp/R
mv /tmp/R $configroot/etc/flux/system/R

export STATE_DIR=$configroot/var/lib/flux
export FLUX_OUTPUT_DIR=/tmp/fluxout
mkdir -p $STATE_DIR $FLUX_OUTPUT_DIR $configroot/etc/flux/system/cron.d
brokerOptions="-Scron.directory=$configroot/etc/flux/system/cron.d -Stbon.fanout=256 \
 -Srundir=$configroot/run/flux {no_rc2} -Sstatedir=$STATE_DIR \
 -Slocal-uri=local://$configroot/run/flux/local -Stbon.connect_timeout=5s {quorum} \
 -Slog-stderr-level={log_level} -Slog-stderr-mode=local"

{pre} {hush}
if [ "$(hostname)" == "{lead}" ]; then
    {broker_pre} {hush}
    if [ "$command" == "" ]; then
        flux broker --config-path $cfg $brokerOptions
    else
        flux start -o --config $cfg $brokerOptions $command
    fi
else
    {worker_pre} {hush}
    while true; do
        flux start -o --config $cfg $brokerOptions
        retval=$?
        [ $retval -eq 0 ] && break
        echo "worker: $retval, again in {retry} s"
        sleep {retry}
    done
fi
{post}
touch /mnt/flux/flux-operator-complete.txt
"""

_PATHS = """\
export PATH=$PATH:$viewroot/bin
foundroot=$(find $viewroot -maxdepth 2 -type d -path "$viewroot/lib/python3*")
export PYTHONPATH=${PYTHONPATH:-""}:$foundroot/site-packages
export FLUX_RC_EXTRA=$viewroot/etc/flux/rc1.d
cat > /mnt/flux/flux-view.sh <<EOT
export PATH=$PATH
export PYTHONPATH=$PYTHONPATH
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-""}:$viewroot/lib
export fluxsocket=local://$configroot/run/flux/local
EOT"""


@dataclass(frozen=True)
class Orders:
    """What a MiniCluster says about its start."""

    name: str
    size: int  # pods at most
    quorum: int | None  # brokers that have to be there before the command runs
    domain: str  # SERVICE.NAMESPACE.svc.cluster.local
    command: str
    commands: dict[str, str]  # init, pre, brokerPre, workerPre, post
    interactive: bool
    quiet: bool
    view: bool  # whether Flux comes from the view


def hostlist(orders: Orders) -> str:
    """The names of its pods, as Flux writes them (RFC 29)."""
    last = orders.size - 1
    return f"{orders.name}-[0-{last}]" if last else f"{orders.name}-0"


def broker_toml(orders: Orders) -> str:
    """What the view's container writes for the brokers."""
    return _BROKER_TOML.format(domain=orders.domain, hosts=hostlist(orders))


def start_script(orders: Orders, *, retry: float) -> str:
    """What the application container runs.

    Args:
        orders: of the MiniCluster.
        retry: seconds until a worker tries again; the operator's are 15.
    """
    commands = orders.commands
    return _SCRIPT.format(
        init=commands.get("init", ""),
        command=orders.command,
        paths=_PATHS if orders.view else "",
        no_rc2="-Sbroker.rc2_none" if orders.interactive else "",
        quorum="" if orders.quorum is None else f"-Sbroker.quorum={orders.quorum}",
        log_level=0 if orders.quiet else 6,
        pre=commands.get("pre", ""),
        broker_pre=commands.get("brokerPre", ""),
        worker_pre=commands.get("workerPre", ""),
        post=commands.get("post", ""),
        hush="> /dev/null 2>&1" if orders.quiet else "",
        lead=f"{orders.name}-0",
        retry=retry,
    )
