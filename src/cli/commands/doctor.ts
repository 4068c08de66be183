// `virt-publish doctor`: checks everything that a run needs, and prints a hint for each failure.
import type { Command } from 'commander';
import type { DoctorFinding } from '../../operations/doctor/finding.ts';
import type { SetExitCode } from '../exit-codes.ts';
import {
  addRegistryOptions,
  CONNECT,
  type GlobalFlags,
  hostOverrides,
  type RegistryFlags,
  WORK_DIR,
} from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';

type DoctorFlags = GlobalFlags & RegistryFlags & { connect?: string; workDir?: string };

export function addDoctorCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('doctor')
    .argument('[domain...]', 'domains whose agents are asked (default: all running domains)')
    .summary('check everything that a run needs')
    .description(
      'Checks libvirt, qemu-img, the work directory, free space, agents, the registry and the clock,\nby trying them. Each line is ok, a warning or a failure, with what to do about it. The exit\ncode is 0 if nothing failed, else that of the error that a run would fail with.',
    )
    .option(...WORK_DIR)
    .option(...CONNECT);
  addRegistryOptions(command).action(async (domains: string[]) => {
    const flags = command.optsWithGlobals<DoctorFlags>();
    const { runCommand } = await import('../run-command.ts');
    const overrides = hostOverrides(flags);
    setExitCode(await runCommand({ flags, overrides }, (context) => examine(domains, context)));
  });
}

async function examine(
  domains: readonly string[],
  { config, signal, onEvent }: CommandContext,
): Promise<Product> {
  const { examineHost } = await import('../../operations/doctor/doctor.ts');
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const openRegistry = () =>
    openConfiguredRegistry({ config, signal, onEvent }, { mayBeNew: true });
  const findings: DoctorFinding[] = [];
  for await (const finding of examineHost({ config, domains, openRegistry, signal })) {
    findings.push(finding);
  }
  const failed = findings.filter(({ state }) => state === 'failure');
  const product = { text: await asText(findings), json: { findings } };
  const [first] = failed;
  if (first === undefined) return product;
  const { PublishError } = await import('../../core/errors.ts');
  const names = failed.map(({ name }) => name).join(', ');
  const message = `${failed.length} of ${findings.length} checks failed: ${names}`;
  return {
    ...product,
    failure: new PublishError(first.code ?? 'INTERNAL', message, { hint: 'see the hints above' }),
  };
}

async function asText(findings: readonly DoctorFinding[]): Promise<string> {
  const { printable } = await import('../views/format.ts');
  const { styleFor } = await import('../views/style.ts');
  const style = styleFor(process.stdout);
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.flatMap(({ name, state, detail, hint }) => {
    const padded = state.padEnd(9);
    const mark = state === 'failure' ? style.red(padded) : padded;
    const line = `${mark}${printable(name).padEnd(width + 2)}${printable(detail)}`;
    const below = ' '.repeat(9 + width + 2);
    return hint === undefined
      ? [line]
      : [line, `${below}${style.bold('hint:')} ${printable(hint)}`];
  });
  return lines.join('\n');
}
