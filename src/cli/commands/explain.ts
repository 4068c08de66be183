// `virt-publish explain`: prints a topic of the manual, or what a code or a configuration key means.
import type { Command } from 'commander';
import { printableJson } from '../../core/printable.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { standardOutput } from '../output/standard-streams.ts';

export function addExplainCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('explain')
    .argument('[word]', 'topic, error code, exit code or configuration key')
    .summary('explain a topic, an error code or a configuration key')
    .description(
      'Prints a topic of the manual, or what an error code (MIRROR), an exit code (20) or a\nconfiguration key (timeouts.freezeMs) means. Without a word: the topics.',
    );
  command.action(async (word?: string) => {
    const { json } = command.optsWithGlobals<{ json?: boolean }>();
    const { text, ...fields } = await explanationOf(word);
    const product =
      json === true ? printableJson({ time: new Date().toISOString(), ...fields }) : text;
    void standardOutput().write(`${product}\n`);
    setExitCode(0);
  });
}

/** NOTE: no `runCommand`, which reads the configuration: `explain` must work when that is wrong. */
async function explanationOf(word: string | undefined): Promise<{ text: string; type: string }> {
  const { explain, listTopics } = await import('../../explain/explain.ts');
  const { formatPairs } = await import('../views/table.ts');
  if (word !== undefined) {
    const explanations = explain(word);
    const text = explanations.map((each) => each.text).join('\n\n');
    return { type: 'result', ...{ explanations }, text };
  }
  const topics = listTopics();
  const rows = formatPairs(topics.map(({ name, title }) => [`  ${name}`, title]));
  const usage = [
    'virt-publish explain TOPIC   print a topic',
    'virt-publish explain CODE    an error code or exit code, such as MIRROR or 20',
    'virt-publish explain KEY     a configuration key, such as timeouts.freezeMs',
  ];
  return { type: 'result', ...{ topics }, text: [...usage, '', 'Topics:', rows].join('\n') };
}
