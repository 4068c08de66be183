// Writes the manual that ships: topics of `virt-publish explain`, completion scripts, man pages; part of `npm run build`.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { marked } from 'marked';
import markedMan from 'marked-man';

const root = fileURLToPath(new URL('..', import.meta.url));
/** A module of `build`, which tsc has made right before. */
const load = (path) => import(`${root}build/${path}.js`);
const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
const { ERROR_CATALOGUE, ERROR_CODES } = await load('core/error-catalogue');
const { EXIT_CODES } = await load('cli/exit-codes');
const { buildProgram } = await load('cli/program');
const { readTopic, titleOf, TOPICS } = await load('explain/topics');

const DATE = date();

/** An option is a term with its text below it; marked-man makes a bullet of it. */
const TERM = '§';

marked.use(markedMan);
copyTexts();
writePages();

/** NOTE: `build` has them too, for the tests that load its modules. */
function copyTexts() {
  for (const folder of ['build', 'dist']) {
    mkdirSync(`${root}${folder}/explain`, { recursive: true });
    for (const topic of TOPICS)
      copyFileSync(`${root}src/explain/${topic}.md`, `${root}${folder}/explain/${topic}.md`);
    mkdirSync(`${root}${folder}/completion`, { recursive: true });
    for (const shell of ['bash', 'zsh', 'fish']) {
      const name = `virt-publish.${shell}`;
      copyFileSync(`${root}src/cli/completion/${name}`, `${root}${folder}/completion/${name}`);
    }
  }
}

function writePages() {
  mkdirSync(`${root}dist/man`, { recursive: true });
  const program = buildProgram(() => undefined);
  const commands = program.commands.filter((command) => !command._hidden);
  writePage('virt-publish', 1, 'publish images of libvirt domains', programPage(program, commands));
  for (const command of commands)
    writePage(`virt-publish-${command.name()}`, 1, command.summary(), commandPage(command));
  for (const topic of TOPICS) {
    writePage(`virt-publish-${topic}`, 7, titleOf(topic), topicPage(readTopic(topic)));
  }
}

function topicPage(text) {
  const [, ...lines] = text.split('\n');
  const sections = ['## DESCRIPTION', ...lines].join('\n').replace(/^```[a-z ]+$/gm, '```');
  // NOTE: the words of the table of all codes are too long for its columns.
  const codes = sections.replace(/^\| code .*(?:\n\|.*)*/m, () =>
    ERROR_CODES.map((code) => {
      const { exitCode, meaning, topic } = ERROR_CATALOGUE[code];
      return term(code, `exit ${exitCode}: ${meaning}; see virt-publish-${topic}(7)`);
    }).join('\n\n'),
  );
  return `${codes}\n${seeAlso()}`;
}

function programPage(program, commands) {
  const exits = EXIT_CODES.map(({ exit, meaning }) => term(String(exit), meaning));
  return [
    '## SYNOPSIS',
    '`virt-publish` [*options*] *command* [*arguments*]',
    '## DESCRIPTION',
    asMarkdown(program.description()),
    '## COMMANDS',
    ...commands.map((each) => term(`virt-publish-${each.name()}(1)`, each.summary())),
    '## TOPICS',
    ...TOPICS.map((topic) => term(`virt-publish-${topic}(7)`, titleOf(topic))),
    '## OPTIONS',
    ...program.createHelp().visibleOptions(program).map(optionTerm),
    ...textsAfter(program).filter((text) => !text.startsWith('## EXIT CODES')),
    '## EXIT STATUS',
    ...exits,
    '## FILES',
    term('/etc/virt-publish/config.json', 'configuration of the host'),
    term('~/.config/virt-publish/config.json', 'configuration of the user'),
    term('/var/lib/virt-publish', 'state directory of root: runs and the default registry'),
    '## ENVIRONMENT',
    term('VIRT_PUBLISH_*', 'each configuration key, such as VIRT_PUBLISH_SNAPSHOT_FORMAT'),
    term('LIBVIRT_DEFAULT_URI', 'the libvirt to connect to'),
    term('AWS_*', 'endpoint, region, profile and credentials, as for the AWS command line'),
    seeAlso(),
  ].join('\n\n');
}

function commandPage(command) {
  const help = command.createHelp();
  const own = sectionsOf(command, help);
  const below = help.visibleCommands(command).filter((each) => each.name() !== 'help');
  const subcommands = below.flatMap((each) => {
    const title = `## ${command.name().toUpperCase()} ${each.name().toUpperCase()}`;
    return [
      title,
      usage(each, help),
      asMarkdown(each.description()),
      ...sectionsOf(each, help, '###'),
    ];
  });
  return [
    '## SYNOPSIS',
    below.length === 0 ? usage(command, help) : below.map((each) => usage(each, help)).join('\\\n'),
    '## DESCRIPTION',
    asMarkdown(command.description()),
    ...own,
    ...subcommands,
    '## GLOBAL OPTIONS',
    ...help.visibleGlobalOptions(command).map(optionTerm),
    ...textsAfter(command),
    seeAlso(),
  ].join('\n\n');
}

/** Arguments and options of a command, each group under its heading. */
function sectionsOf(command, help, heading = '##') {
  const names = command.registeredArguments.filter(({ description }) => description !== '');
  const groups = new Map();
  for (const option of help.visibleOptions(command)) {
    if (option.long === '--help') continue;
    const title = (option.helpGroupHeading ?? 'Options').replace(/:$/, '');
    groups.set(title, [...(groups.get(title) ?? []), option]);
  }
  return [
    ...(names.length === 0 ? [] : [`${heading} ARGUMENTS`]),
    ...names.map((each) => term(each.name(), each.description)),
    ...[...groups].flatMap(([title, options]) => {
      const name = title === 'Options' ? 'OPTIONS' : `${title.toUpperCase()} OPTIONS`;
      return [`${heading} ${name}`, ...options.map(optionTerm)];
    }),
  ];
}

function usage(command, help) {
  const [, name = '', rest = ''] = /^(.*?)((?: [[<].*)?)$/.exec(help.commandUsage(command)) ?? [];
  return `\`${name}\`${asMarkdown(rest)}`;
}

function optionTerm({ flags, description, argChoices }) {
  return term(flags, argChoices ? `${description}: ${argChoices.join(', ')}` : description);
}

function term(name, text) {
  return `- ${TERM}\`${name}\`\\\n  ${asMarkdown(text)}`;
}

/** What a command adds below its help: a title and a table, or examples. */
function textsAfter(command) {
  let text = '';
  command.emit('afterHelp', { error: false, command, write: (more) => (text += more) });
  return text
    .split('\n\n')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [title = '', ...lines] = part.split('\n');
      return `## ${title.replace(/:$/, '').toUpperCase()}\n\n\`\`\`\n${lines.join('\n')}\n\`\`\``;
    });
}

function seeAlso() {
  const topics = TOPICS.map((topic) => `\`virt-publish-${topic}\`(7)`);
  return `## SEE ALSO\n\n\`virt-publish\`(1), ${topics.join(', ')}`;
}

/** Markdown that reads as the text does; names in backticks stay code. */
function asMarkdown(text) {
  return text
    .replace(/\s*\n\s*/g, ' ')
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? part : part.replace(/[\\*_<>[\]|~#]/g, '\\$&')))
    .join('');
}

function writePage(name, section, summary, markdown) {
  const title = `# ${name}(${section}) -- ${summary}`;
  const manual = 'virt-publish manual';
  marked.setOptions({ name, section, manual, manVersion: version, breaks: false });
  const roff = marked(`${title}\n\n${markdown}\n`);
  const page = roff
    .replace(
      /^\.TH .*$/m,
      `.TH "${name.toUpperCase()}" "${section}" "${DATE}" "${version}" "${manual}"`,
    )
    // Narrow columns of a table cannot be adjusted to both sides.
    .replace(/^\.TH .*$/m, '$&\n.nh\n.ad l')
    .replace(new RegExp(`^\\.IP \\\\\\(bu 2\n${TERM}(.*)\n(\\.br\n)?`, 'gm'), '.TP\n$1\n')
    // A heading makes the distance itself.
    .replace(/^(\.S[HS] .*)\n+\.P$/gm, '$1')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
    .replace(/\n{2,}/g, '\n');
  // The first line asks man for the preprocessor of tables.
  const first = /^\.TS/m.test(page) ? `'\\" t\n` : '';
  writeFileSync(`${root}dist/man/${name}.${section}`, first + page);
}

/** The day of the last commit: the same sources give the same pages. */
function date() {
  const epoch = process.env.SOURCE_DATE_EPOCH ?? lastCommit();
  const time = epoch === undefined ? new Date() : new Date(Number(epoch) * 1000);
  return time.toISOString().slice(0, 10);
}

/** Seconds since 1970; `undefined` outside a clone. */
function lastCommit() {
  const git = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' });
  return git.status === 0 ? git.stdout.trim() : undefined;
}
