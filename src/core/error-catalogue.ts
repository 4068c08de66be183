// Every error code with its exit code, its meaning, what to do, and the topic that explains it.

/** The entry of one code. */
export interface ErrorEntry {
  /** Exit code of the command. Codes that share one share its meaning. */
  exitCode: number;
  /** Without facts of this host, since image records contain it too. */
  meaning: string;
  /** What to do next, unless the error has a hint of its own. */
  hint: string;
  /** Name of a topic of `virt-publish explain`. */
  topic: 'errors' | 'formats' | 'guest' | 'limits' | 'modes' | 'registry';
}

/**
 * What can go wrong. Match on these codes, never on a message. `--help`, `explain CODE`, the man
 * page and the README list these entries.
 */
export const ERROR_CATALOGUE = {
  INTERNAL: {
    exitCode: 1,
    meaning: 'internal error',
    hint: 'report it, with the message',
    topic: 'errors',
  },
  USAGE: {
    exitCode: 2,
    meaning: 'wrong usage or configuration',
    hint: 'see --help; the message names the flag, file or key',
    topic: 'errors',
  },
  CONFIG: {
    exitCode: 2,
    meaning: 'wrong usage or configuration',
    hint: 'see --help; the message names the flag, file or key',
    topic: 'errors',
  },
  DOMAIN_NOT_FOUND: {
    exitCode: 10,
    meaning: 'domain not found',
    hint: 'see `virsh list --all`',
    topic: 'guest',
  },
  DOMAIN_BUSY: {
    exitCode: 11,
    meaning: 'domain busy with another run or block job',
    hint: 'wait for it, or end the job',
    topic: 'guest',
  },
  DISK_UNSUPPORTED: {
    exitCode: 12,
    meaning: 'disk cannot be copied',
    hint: 'choose another with --disk',
    topic: 'limits',
  },
  LIBVIRT: {
    exitCode: 13,
    meaning: 'libvirt cannot be reached, or refused',
    hint: 'start libvirtd; check --connect and your rights',
    topic: 'guest',
  },
  MIRROR: {
    exitCode: 20,
    meaning: 'mirror failed, stalled or never converged',
    hint: 'try --bandwidth, --method copy or --mode cold',
    topic: 'modes',
  },
  QUIESCE: {
    exitCode: 21,
    meaning: 'guest could not be quiesced',
    hint: 'start the agent in the guest, or use --quiesce try',
    topic: 'guest',
  },
  MANAGED_SAVE: {
    exitCode: 22,
    meaning: 'managed save failed',
    hint: 'check the space in /var/lib/libvirt/qemu/save, or use --mode live',
    topic: 'modes',
  },
  CHAIN: {
    exitCode: 23,
    meaning: 'chain not shortened; its data is unchanged',
    hint: 'the message says why; see `virt-publish chain show`',
    topic: 'modes',
  },
  CHAIN_IN_USE: {
    exitCode: 24,
    meaning: 'a layer is in use by another domain or image',
    hint: 'choose another --base or --top, or end that use first',
    topic: 'modes',
  },
  QEMU_IMG: {
    exitCode: 30,
    meaning: 'qemu-img failed or is missing',
    hint: 'install qemu-utils; the message quotes its error',
    topic: 'formats',
  },
  NO_SPACE: {
    exitCode: 31,
    meaning: 'no space left',
    hint: 'free some space, or choose another --work-dir',
    topic: 'limits',
  },
  WORK_DIR: {
    exitCode: 32,
    meaning: 'work directory cannot be used',
    hint: 'choose another --work-dir; QEMU must be able to reach it',
    topic: 'guest',
  },
  SYSPREP: {
    exitCode: 33,
    meaning: 'virt-sysprep failed or is missing',
    hint: 'install guestfs-tools; the message quotes its error',
    topic: 'formats',
  },
  VOLUMES: {
    exitCode: 34,
    meaning: 'snapshot of the volumes failed',
    hint: "the message quotes libvirt's error; no snapshot was kept",
    topic: 'modes',
  },
  IMAGE_NOT_FOUND: {
    exitCode: 40,
    meaning: 'image not found, or its status forbids it',
    hint: 'see `virt-publish list`',
    topic: 'registry',
  },
  IMAGE_STATUS: {
    exitCode: 40,
    meaning: 'image not found, or its status forbids it',
    hint: 'see `virt-publish list`',
    topic: 'registry',
  },
  UPLOAD: {
    exitCode: 41,
    meaning: 'upload failed',
    hint: 'run it again when the registry and the storage work',
    topic: 'registry',
  },
  INTEGRITY: {
    exitCode: 42,
    meaning: 'data failed verification',
    hint: 'do not use it; fetch or publish it again',
    topic: 'registry',
  },
  PRECONDITION_LOST: {
    exitCode: 43,
    meaning: 'another client changed it first',
    hint: 'check the new state, then run it again',
    topic: 'registry',
  },
  REGISTRY: {
    exitCode: 44,
    meaning: 'registry cannot be reached, or refused',
    hint: 'check bucket, endpoint and credentials',
    topic: 'registry',
  },
  IMAGE_REFUSED: {
    exitCode: 45,
    meaning: 'image refused, or its URL unreachable',
    hint: 'the message says what is wrong',
    topic: 'formats',
  },
  DOWNLOAD: {
    exitCode: 45,
    meaning: 'image refused, or its URL unreachable',
    hint: 'the message says what is wrong',
    topic: 'formats',
  },
  GUEST_NOT_RESTORED: {
    exitCode: 50,
    meaning: 'guest could not be restored',
    hint: 'run the command that is printed last',
    topic: 'guest',
  },
  INTERRUPTED: {
    exitCode: 130,
    meaning: 'interrupted; everything was undone',
    hint: 'run it again',
    topic: 'guest',
  },
} as const satisfies Readonly<Record<string, ErrorEntry>>;

/** A code of a PublishError. */
export type ErrorCode = keyof typeof ERROR_CATALOGUE;

/** All codes of a PublishError. */
export const ERROR_CODES = Object.keys(ERROR_CATALOGUE) as readonly ErrorCode[];
