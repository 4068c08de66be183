# A process runs from hard links to the package's files: dpkg removes the files of the old version in an
# upgrade, and a run that is in progress still loads modules and starts its guard from them.
PAYLOAD=/usr/lib/virt-publish/package
BUILDS=/usr/lib/virt-publish/builds

# link_build NAME: makes the folder that the launcher starts from, or repairs it after a reinstall.
link_build() {
	if [ -d "$BUILDS/$1" ]; then
		cp -alfT "$PAYLOAD" "$BUILDS/$1" 2>/dev/null || cp -afT "$PAYLOAD" "$BUILDS/$1"
		return
	fi
	rm -rf "$BUILDS/.new"
	mkdir -p "$BUILDS"
	# a file system without hard links
	cp -alT "$PAYLOAD" "$BUILDS/.new" 2>/dev/null || cp -afT "$PAYLOAD" "$BUILDS/.new"
	mv -T "$BUILDS/.new" "$BUILDS/$1"
}

# remove_builds [NAME]: removes all builds that no process runs from, except NAME.
remove_builds() {
	[ -d "$BUILDS" ] || return 0
	for folder in "$BUILDS"/*; do
		if [ ! -d "$folder" ] || [ "${folder##*/}" = "${1:-}" ]; then continue; fi
		# By file, not by path: a process in another mount namespace shows another path.
		pids=$(find -L /proc/[0-9]*/exe -samefile "$folder/node" 2>/dev/null | cut -d/ -f3 | sort -n | tr '\n' ' ')
		if [ -z "$pids" ]; then
			rm -rf "$folder"
		else
			echo "virt-publish: $folder stays, since processes run from it: $pids"
		fi
	done
	rmdir "$BUILDS" 2>/dev/null || true
}
