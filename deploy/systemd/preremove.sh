#!/bin/sh
# Stops the agent before removal. Its positions stay, for a later installation.
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	systemctl disable --now tallyman.service
fi
