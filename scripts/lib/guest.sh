# The tiny guest: a distribution kernel, an initramfs and an ext4 root with busybox and qemu-ga.
# shellcheck shell=bash

GUEST_ROOT_MIB=48
GUEST_MODULES=(virtio_pci virtio_blk virtio_console ext4)

# build_guest: sets GUEST_DIR to a folder with vmlinuz, initrd.img and root.raw.
# NOTE: the folder's name is a digest of its inputs. Test disks are overlays on root.raw, so a file
# once built never changes; a new recipe or kernel makes a new folder.
build_guest() {
  local kernel_package stamp
  if [ -e "$LAB/guest/current" ] && [ "$(cat "$LAB/guest/current.recipe" 2>/dev/null)" = "$(recipe_of_guest)" ]; then
    GUEST_DIR=$(realpath "$LAB/guest/current")
    say "tiny guest: built ($GUEST_DIR)"
    return
  fi
  apt_update
  kernel_package=$(guest_kernel_package)
  stamp=$(printf '%s %s' "$(recipe_of_guest)" "$kernel_package" | sha256sum | cut -c1-12)
  GUEST_DIR=$LAB/guest/$stamp
  say "tiny guest: building from $kernel_package, busybox and qemu-ga"
  rm -rf "$GUEST_DIR.partial" && mkdir -p "$GUEST_DIR.partial"
  unpack_packages "$GUEST_DIR.partial/packages" "$kernel_package" "${kernel_package/linux-image/linux-modules}" qemu-guest-agent
  build_initrd "$GUEST_DIR.partial"
  build_root "$GUEST_DIR.partial"
  cp "$GUEST_DIR.partial"/packages/boot/vmlinuz-* "$GUEST_DIR.partial/vmlinuz"
  rm -rf "$GUEST_DIR.partial"/{packages,initrd,root}
  chmod 0711 "$GUEST_DIR.partial"
  chmod 0644 "$GUEST_DIR.partial"/*
  rm -rf "$GUEST_DIR" && mv "$GUEST_DIR.partial" "$GUEST_DIR"
  ln -sfn "$stamp" "$LAB/guest/current"
  recipe_of_guest >"$LAB/guest/current.recipe"
}

recipe_of_guest() { cat "$ROOT_DIR/scripts/lib/guest.sh" "$ROOT_DIR"/scripts/lib/guest-init/* | sha256sum | cut -d' ' -f1; }

# guest_kernel_package: the newest small kernel for virtual machines that apt offers.
guest_kernel_package() {
  local meta package
  for meta in linux-image-cloud-amd64 linux-image-virtual linux-image-amd64; do
    package=$(apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
    [ -n "$package" ] && break
  done
  [ -n "$package" ] || die 'apt offers no kernel package (linux-image-cloud-amd64 or linux-image-virtual)'
  printf '%s' "$package"
}

# unpack_packages DIR PACKAGE...: downloads and unpacks, installs nothing: this machine's kernel and
# boot loader stay as they are, and no agent starts here. Ubuntu keeps modules in a second package.
unpack_packages() {
  local dir=$1 package
  mkdir -p "$dir/debs"
  chmod 0777 "$dir/debs" # apt downloads as a user of its own
  shift
  for package in "$@"; do
    [ -n "$(candidate_of "$package")" ] || continue
    (cd "$dir/debs" && quietly guest apt-get -q download "$package")
  done
  for package in "$dir"/debs/*.deb; do dpkg-deb -x "$package" "$dir"; done
  # a merged /usr (Debian 13, Ubuntu) has its modules in usr/lib
  [ -d "$dir/lib/modules" ] || ln -s usr/lib "$dir/lib"
}

# build_initrd DIR: busybox and the virtio modules, numbered in the order they depend on each other
# (another order fails with "unknown symbol"); modules that are built into the kernel are left out.
build_initrd() {
  local dir=$1 version module count=100
  version=$(ls "$dir/packages/lib/modules")
  mkdir -p "$dir"/initrd/{bin,dev,proc,sys,mnt,mod}
  quietly guest depmod -b "$dir/packages" "$version"
  for module in $(modprobe -d "$dir/packages" -S "$version" --show-depends -a "${GUEST_MODULES[@]}" | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'); do
    unpack_module "$module" "$dir/initrd/mod/$((count++)).ko"
  done
  cp /bin/busybox "$dir/initrd/bin/"
  install -m 0755 "$ROOT_DIR/scripts/lib/guest-init/initramfs-init" "$dir/initrd/init"
  (cd "$dir/initrd" && find . | cpio --quiet -o -H newc) >"$dir/initrd.img"
}

unpack_module() {
  case $1 in
  *.xz) xz -dc "$1" >"$2" ;;
  *.zst) zstd -qdc "$1" >"$2" ;;
  *.gz) gzip -dc "$1" >"$2" ;;
  *) cp "$1" "$2" ;;
  esac
}

# build_root DIR: root.raw, an ext4 made from a folder without mounting anything.
build_root() {
  local dir=$1 root=$1/root agent=$1/packages/usr/sbin/qemu-ga library
  mkdir -p "$root"/{bin,sbin,dev,proc,sys,etc,tmp,run,var,data,usr/sbin}
  ln -s ../run "$root/var/run"
  cp /bin/busybox "$root/bin/"
  cp "$agent" "$root/usr/sbin/"
  ldd "$agent" | grep 'not found' >&2 && die 'the libraries of qemu-ga are not all installed here'
  for library in $(ldd "$agent" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
  install -m 0755 "$ROOT_DIR/scripts/lib/guest-init/init" "$root/sbin/init"
  install -m 0755 "$ROOT_DIR/scripts/lib/guest-init/shutdown" "$root/sbin/shutdown"
  chroot "$root" /bin/busybox --install -s /bin
  ln -s ../bin/busybox "$root/sbin/hwclock" # qemu-ga looks for it there and nowhere else
  chmod 1777 "$root/tmp"
  quietly guest mke2fs -q -t ext4 -L tiny -d "$root" "$dir/root.raw" "${GUEST_ROOT_MIB}M"
}
