#!/bin/sh
# Starts the configured version of virt-publish: until an upgrade is configured, the old one.
build=$(readlink -e /usr/lib/virt-publish/current) || {
	echo 'virt-publish: the package is not configured' >&2
	echo 'hint: finish its installation with dpkg --configure virt-publish' >&2
	exit 1
}
exec "$build/node" "$build/dist/cli/main.js" "$@"
