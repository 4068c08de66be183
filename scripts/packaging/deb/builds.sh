# A process runs from hard links to the package's files: dpkg removes the files of the old version in an
# upgrade, and a run that is in progress still loads modules and starts its guard from them.
PAYLOAD=/usr/lib/virt-publish/package
BUILDS=/usr/lib/virt-publish/builds
CURRENT=/usr/lib/virt-publish/current

# link_build NAME: makes the folder of a build, or repairs it after a reinstall; the launcher starts from it.
link_build() {
	if [ -d "$BUILDS/$1" ]; then
		copy_payload "$BUILDS/$1"
	else
		rm -rf "$BUILDS/.new"
		mkdir -p "$BUILDS"
		copy_payload "$BUILDS/.new"
		mv -T "$BUILDS/.new" "$BUILDS/$1"
	fi
	ln -sfnT "builds/$1" "$CURRENT.new"
	mv -T "$CURRENT.new" "$CURRENT"
}

# copy_payload FOLDER: each file is replaced atomically; copies on a file system without hard links.
copy_payload() { cp -alfT "$PAYLOAD" "$1" 2>/dev/null || cp -afT "$PAYLOAD" "$1"; }

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
