#!/bin/sh
# Starts virt-publish with the Node of this package.
build=/usr/lib/virt-publish/builds/@BUILD@
# Unpacked but not configured yet: the same files, without protection from the next upgrade.
[ -d "$build" ] || build=/usr/lib/virt-publish/package
exec "$build/node" "$build/dist/cli/main.js" "$@"
