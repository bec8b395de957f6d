#!/bin/sh
# Starts the agent after installation, and again with the new program after an
# upgrade, unless the administrator has disabled it.
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
if [ -z "$2" ]; then
	systemctl enable --now tallyman.service
else
	systemctl try-restart tallyman.service
fi
