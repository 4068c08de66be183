// The inspection of a domain as a page for people. Pure.
import type { DiskReport, DomainReport } from '../../operations/inspect/inspect-types.ts';
import { formatLayers } from './chain-view.ts';
import { formatBytes, formatDate, printable } from './format.ts';
import { formatPairs } from './table.ts';

type Pair = [string, string];

/** What `inspect` prints: the domain, its disks, what a snapshot would do, and every obstacle. */
export function formatReport(report: DomainReport): string {
  const { disks, plan, obstacles } = report;
  const blocks = [
    lines([...domainPairs(report), ...keptPairs(report)]),
    ...disks.map(formatDisk),
    lines(plan === null ? [['Snapshot', 'would fail']] : planPairs(plan)),
    lines(
      obstacles.flatMap(({ code, message, hint }): Pair[] => [
        [code, message],
        ['  hint', hint],
      ]),
    ) || 'No obstacles.',
  ];
  return blocks.join('\n\n');
}

function lines(pairs: readonly Pair[]): string {
  return formatPairs(pairs.map(([name, value]) => [name, printable(value)]));
}

function domainPairs({ domain }: DomainReport): Pair[] {
  const { tpm, nvram, machine } = domain;
  const persistence = domain.persistent ? 'persistent' : 'transient';
  const autostart = domain.autostart ? ', autostart' : '';
  const secure = domain.secureBoot ? ', secure boot' : '';
  const vtpm = tpm && `${tpm.model ?? 'vTPM'} (${tpm.backend ?? 'unknown backend'})`;
  return [
    ['Domain', `${domain.name} (${domain.uuid}), ${domain.state}, ${persistence}${autostart}`],
    ['Machine', `${machine ?? 'default'}, ${domain.arch}, ${domain.type}`],
    ['Size', `${domain.memoryMib} MiB, ${domain.vcpus} vCPUs`],
    ['Firmware', `${domain.firmware}${secure}${nvram === null ? '' : `, variables in ${nvram}`}`],
    ['vTPM', vtpm ?? 'none'],
    ['Agent', AGENT[domain.agent]],
  ];
}

const AGENT = {
  answers: 'answers: its file systems can be frozen',
  frozen: 'answers, and its file systems are frozen already',
  silent: 'has a channel, but no agent answers',
  none: 'has no channel',
} as const;

function keptPairs({ domain, snapshots, checkpoints, hostDevices }: DomainReport): Pair[] {
  const described = snapshots.map(({ name, kind, memory, createdAt }) => {
    const when = createdAt === null ? '' : `, ${formatDate(createdAt)}`;
    return `${name} (${kind}${memory ? ', with memory' : ''}${when})`;
  });
  return [
    ['Snapshots', described.join(', ') || 'none'],
    ['Checkpoints', checkpoints.join(', ') || 'none'],
    ['Managed save', domain.managedSave ? 'yes' : 'no'],
    [
      'Host devices',
      hostDevices.map(({ kind, address }) => `${kind} ${address}`).join(', ') || 'none',
    ],
  ];
}

function formatDisk(disk: DiskReport): string {
  const { target, device, bus, layers, live, cold, chosen, job } = disk;
  const marks = [
    ...(disk.isRoot ? ['root disk'] : []),
    ...(disk.bootOrder === null ? [] : [`boot order ${disk.bootOrder}`]),
    ...(disk.readonly ? ['read-only'] : []),
    ...(disk.shareable ? ['shareable'] : []),
  ];
  const pairs: Pair[] = [
    ['Disk', [`${target}, ${device} on ${bus}`, ...marks].join(', ')],
    ['Source', disk.source === null ? disk.type : `${disk.source} (${disk.format})`],
    ...(job === null ? [] : [['Block job', `${job.type}, ${job.cur} of ${job.end}`] as Pair]),
    ['Live', `${live.possible ? 'yes' : 'no'}: ${live.reason}`],
    ['Cold', `${cold.possible ? 'yes' : 'no'}: ${cold.reason}`],
    ...(chosen === null ? [] : [['Chosen', `${chosen.mode}: ${chosen.modeReason}`] as Pair]),
    ...(chosen?.method == null ? [] : [methodPair(chosen)]),
    ...(chosen === null ? [] : [['Undefines', listed(chosen.undefines)] as Pair]),
    ...(chosen === null ? [] : [['Detaches', listed(chosen.detaches)] as Pair]),
  ];
  return [lines(pairs), ...(layers.length === 0 ? [] : [formatLayers(layers)])].join('\n');
}

function methodPair({ method, methodReason }: NonNullable<DiskReport['chosen']>): Pair {
  return ['Method', methodReason === null ? String(method) : `${method}: ${methodReason}`];
}

function planPairs(plan: NonNullable<DomainReport['plan']>): Pair[] {
  return [
    ['Snapshot', `${plan.disk.target}, ${plan.mode}: ${plan.modeReason}`],
    ...(plan.rootReason === null ? [] : [['Root disk', plan.rootReason] as Pair]),
    ['Registry', plan.registry],
    ...plan.space.map(({ purpose, directory, needed, available }): Pair => {
      const room = `needs up to ${formatBytes(needed)}, ${formatBytes(available)} to spare`;
      return ['Space', `${purpose} in ${directory}: ${room}`];
    }),
  ];
}

function listed(items: readonly string[]): string {
  return items.length === 0 ? 'nothing' : items.join(', ');
}
