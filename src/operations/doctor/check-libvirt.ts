// Checks that libvirt answers, its version, and the agent of each running domain.
import { virshDomain } from '../../core/shell-quote.ts';
import { askAgent } from '../../libvirt/ask-agent.ts';
import { type Connection, openConnection } from '../../libvirt/connection.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { isLibvirtError } from '../../libvirt/errors.ts';
import { findDomain } from '../../libvirt/find-domain.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import {
  type DoctorFinding,
  type ExamineOptions,
  failure,
  lookOrFail,
  ok,
  warning,
} from './finding.ts';

/** virDomainBlockCopy with TRANSIENT_JOB came with 3.5, KEEP_TPM with 8.9. */
const OLDEST = 3_005_000;
const WITH_KEEP_TPM = 8_009_000;
const AGENT_TIMEOUT_MS = 5000;

export async function checkLibvirt(options: ExamineOptions): Promise<DoctorFinding[]> {
  const { config, domains, signal } = options;
  const connection = await openConnection(config.connect, {
    callTimeoutMs: config.timeouts.libvirtMs,
  });
  try {
    const findings = [await version(connection)];
    const chosen = domains.length > 0 ? domains : await runningNames(connection);
    for (const ref of chosen) {
      const name = `agent of ${ref}`;
      findings.push(...(await lookOrFail(name, signal, () => agent(connection, ref, name))));
    }
    return findings;
  } finally {
    await connection.close();
  }
}

async function version(connection: Connection): Promise<DoctorFinding> {
  const libvirt = await connection.getLibVersion();
  const qemu = await connection.getVersion();
  const detail = `${connection.uri} answers: libvirt ${dotted(libvirt)}, QEMU ${dotted(qemu)}`;
  if (libvirt < OLDEST)
    return failure('libvirt', 'LIBVIRT', detail, 'install libvirt 3.5 or later');
  if (libvirt >= WITH_KEEP_TPM) return ok('libvirt', detail);
  return warning(
    'libvirt',
    detail,
    'guests with a vTPM need libvirt 8.9 or later, or --method copy; others are fine',
  );
}

async function runningNames(connection: Connection): Promise<string[]> {
  const names: string[] = [];
  for (const domain of await connection.listAllDomains()) {
    if (await isActive(domain)) names.push(domain.name);
  }
  return names.sort();
}

/** A domain that was removed since it was listed is not active. */
async function isActive(domain: Domain): Promise<boolean> {
  try {
    return await domain.isActive();
  } catch (error) {
    if (isLibvirtError(error)) return false;
    throw error;
  }
}

async function agent(connection: Connection, ref: string, name: string): Promise<DoctorFinding[]> {
  const domain = await findDomain(connection, ref);
  const { state } = await domain.getState();
  if (state !== 'running' && state !== 'blocked') {
    return [ok(name, `the domain is ${state}: no agent is needed`)];
  }
  const effect = 'snapshots will be crash-consistent';
  if (!parseDomainXml(await domain.getXMLDesc(0)).hasAgentChannel) {
    const hint =
      'add a channel org.qemu.guest_agent.0 to the domain and qemu-guest-agent to the guest';
    return [warning(name, `the domain has no channel for an agent: ${effect}`, hint)];
  }
  const answer = await askAgent(domain, AGENT_TIMEOUT_MS);
  if (answer.agent === 'answers') return [ok(name, 'answers: file systems can be frozen')];
  if (answer.agent === 'frozen') {
    const hint = `run virsh domfsthaw ${virshDomain(domain)} when nothing needs the freeze any more`;
    return [warning(name, 'answers, and the file systems are already frozen', hint)];
  }
  const hint = 'start qemu-guest-agent in the guest';
  return [warning(name, `does not answer (${answer.error.message}): ${effect}`, hint)];
}

function dotted(version: number): string {
  return [1_000_000, 1000, 1].map((unit) => Math.floor(version / unit) % 1000).join('.');
}
