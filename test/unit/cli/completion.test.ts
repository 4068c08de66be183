// Completion in real shells: bash and zsh on a terminal, fish by its own `complete -C`.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from 'vitest';
import { nextWord } from '#built/cli/completion/next-word.js';
import { buildProgram } from '#built/cli/program.js';
import { waitFor } from '../../support/wait.ts';

const root = new URL('../../../', import.meta.url).pathname;
const run = promisify(execFile);
const main = `${root}dist/cli/main.js`;

let dir: string;
let env: NodeJS.ProcessEnv;
let id: string;

const complete = async (...words: string[]): Promise<string[]> => {
  const args = [main, '__complete', '--', ...words];
  const { stdout, stderr } = await run(process.execPath, args, { env });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((line) => line !== '');
};
const values = async (...words: string[]) =>
  (await complete(...words)).map((line) => line.split('\t')[0]);

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vp-completion-'));
  const bin = join(dir, 'bin');
  await mkdir(bin);
  await writeFile(
    join(bin, 'virt-publish'),
    `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`,
  );
  await chmod(join(bin, 'virt-publish'), 0o755);
  env = {
    ...{ PATH: `${bin}:${process.env.PATH}`, HOME: dir, LC_ALL: 'C.UTF-8', TERM: 'xterm' },
    ...{ VIRT_PUBLISH_STATE_DIR: join(dir, 'state'), LIBVIRT_DEFAULT_URI: 'qemu:///nowhere' },
    ...{ AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'x', AWS_REGION: 'us-east-1' },
  };
  const image = join(dir, 'image.raw');
  await writeFile(image, Buffer.alloc(1024 ** 2, 'x'));
  const add = (...args: string[]) =>
    run(process.execPath, [main, 'import', image, '--format', 'raw', ...args], { env });
  id = (await add('--name', 'golden', '--alias', 'web/latest')).stdout.trim();
  await add('--name', 'two words');
  await add('--name', 'twin');
  await add('--name', 'twin');
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('the words that can come next', () => {
  const program = buildProgram(() => undefined);
  const next = (...words: string[]) => nextWord(program, words);
  const candidates = (...words: string[]) => next(...words).candidates.map(({ value }) => value);

  it('are the commands first, without hidden ones', () => {
    const visible = program.createHelp().visibleCommands(program);
    expect(candidates('')).toEqual(visible.map((command) => command.name()));
    expect(candidates('')).not.toContain('__complete');
    expect(candidates('help', '')).toEqual(candidates(''));
    expect(candidates('chain', '')).toEqual(['show', 'commit', 'pull', 'help']);
  });

  it('are the flags of the command and those of every command', () => {
    expect(candidates('list', '--')).toEqual(expect.arrayContaining(['--tag', '--json', '--help']));
    expect(candidates('list', '--')).not.toContain('--mode');
    expect(candidates('chain', 'pull', '--')).toEqual(
      expect.arrayContaining(['--base', '--quiet']),
    );
  });

  it('are values after a flag that has some', () => {
    expect(candidates('snapshot', '--mode', '')).toEqual(['auto', 'live', 'cold']);
    expect(next('snapshot', '--mode=l')).toMatchObject({ before: '--mode=', prefix: 'l' });
    expect(next('snapshot', '--hash', 'md5,s')).toMatchObject({ before: 'md5,', prefix: 's' });
    expect(candidates('snapshot', '--hash', 'md5,s')).toEqual(['md5', 'sha512']);
    expect(candidates('list', '--status', '')).toContain('active');
    expect(candidates('snapshot', '--name', '')).toEqual([]);
  });

  it('are paths for flags and arguments that take one', () => {
    expect(next('--config', '').paths).toBe('files');
    expect(next('snapshot', '--work-dir', '').paths).toBe('dirs');
    expect(next('import', '').paths).toBe('files');
    expect(next('pull', 'x', '').paths).toBe('files');
  });

  it('are domains, images, aliases and runs for arguments that name them', () => {
    expect(next('snapshot', '').dynamic).toEqual(['domain']);
    expect(next('snapshot', '-r', 'x', '--mode', 'live', '').dynamic).toEqual(['domain']);
    expect(next('snapshot', 'web01', '').dynamic).toEqual([]);
    expect(next('delete', 'a', 'b', '').dynamic).toEqual(['image', 'alias']);
    expect(next('alias', 'set', '').dynamic).toEqual(['alias']);
    expect(next('alias', 'set', 'x', '').dynamic).toEqual(['image', 'alias']);
    expect(next('recover', '').dynamic).toEqual(['run', 'domain']);
    expect(next('show', '--', '--x').dynamic).toEqual(['image', 'alias']);
  });

  it('come with the flags before them, in every spelling', () => {
    const { flags } = next('-q', 'list', '--endpoint=b', '--profile', 'c', '-q', '');
    expect([...flags]).toEqual([
      ['--endpoint', 'b'],
      ['--profile', 'c'],
    ]);
    expect([...next('list', '-r', 'a', '-rb', '').flags]).toEqual([['--registry', 'b']]);
  });
});

describe('the values of the registry', () => {
  it('are aliases, unique names, and ids that begin so', async () => {
    expect((await values('show', '')).sort()).toEqual(['golden', 'two words', 'web/latest']);
    expect(await values('show', id.slice(0, 6))).toEqual([id]);
    expect(await values('alias', 'log', 'w')).toEqual(['web/latest']);
    expect(await values('explain', 'timeouts.fr')).toEqual(['timeouts.freezeMs']);
  });

  it('are those of the registry that the line names', async () => {
    const other = ['--registry', join(dir, 'other')];
    expect(await values('show', ...other, '')).toEqual([]);
    expect(await values('show', '--registry', join(dir, 'state/registry'), 'gol')).toEqual([
      'golden',
    ]);
  });

  it('are empty, without an error, if configuration or registry cannot be read', async () => {
    await writeFile(join(dir, 'broken.json'), '{');
    expect(await values('show', '--config', join(dir, 'broken.json'), '')).toEqual([]);
    expect(
      await values('show', '--registry', 's3://images', '--endpoint', 'http://127.0.0.1:1', ''),
    ).toEqual([]);
    expect(await values('snapshot', '')).toEqual([]);
  });
});

describe('a server that never answers', () => {
  let server: Server;
  afterEach(() => server.close());

  test.each(['libvirt', 'S3'])('does not hold the completion: %s', async (what) => {
    const sockets = new Set<import('node:net').Socket>();
    server = createServer((socket) => sockets.add(socket));
    const socket = join(dir, `${what}.sock`);
    await new Promise<void>((resolve) => {
      if (what === 'S3') server.listen(0, '127.0.0.1', resolve);
      else server.listen(socket, resolve);
    });
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const words =
      what === 'S3'
        ? ['show', '--registry', 's3://images', '--endpoint', `http://127.0.0.1:${port}`, '']
        : ['snapshot', '-c', `qemu+unix:///system?socket=${socket}`, ''];
    expect(await values(...words)).toEqual([]);
    expect(sockets.size).toBeGreaterThan(0);
    for (const each of sockets) each.destroy();
  });
});

/** A shell on a terminal of its own. */
class Terminal {
  output = '';
  readonly #shell: ChildProcess;

  constructor(command: string) {
    this.#shell = spawn('script', ['-qec', command, '/dev/null'], { env, cwd: dir });
    this.#shell.stdout?.on('data', (bytes: Buffer) => {
      this.output += bytes.toString();
    });
  }

  /** Types keys, and waits for what the terminal then shows. */
  async type(keys: string, expected: RegExp): Promise<void> {
    const from = this.output.length;
    this.#shell.stdin?.write(keys);
    const shown = () => this.output.slice(from);
    try {
      await waitFor(`${expected}`, async () => expected.test(shown()), { timeoutMs: 20_000 });
    } catch (error) {
      throw new Error(`${error}; the terminal shows ${JSON.stringify(shown())}`);
    }
  }

  /** Types a line and Tab; the line that it becomes is printed by `echo`, and not run. */
  async completes(line: string, expected: string): Promise<void> {
    const [home, end] = ['\u0001', '\u0005'];
    await this.type(
      `${line}\t${home}echo "<" ${end}">"\r`,
      new RegExp(`< ${expected.replace(/\/$/, '')}[ /]?>`),
    );
  }

  end(): void {
    this.#shell.kill('SIGKILL');
  }
}

const LINES: readonly [typed: string, completed: string][] = [
  ['virt-publish snapsh', 'virt-publish snapshot'],
  ['virt-publish chain com', 'virt-publish chain commit'],
  ['virt-publish snapshot --all-d', 'virt-publish snapshot --all-disks'],
  ['virt-publish snapshot --compress zs', 'virt-publish snapshot --compress zstd'],
  ['virt-publish snapshot --compress=zs', 'virt-publish snapshot --compress=zstd'],
  ['virt-publish show gol', 'virt-publish show golden'],
  ['virt-publish show two', 'virt-publish show two words'],
  ['virt-publish pull web/', 'virt-publish pull web/latest'],
  ['virt-publish explain timeouts.freez', 'virt-publish explain timeouts.freezeMs'],
  ['virt-publish import ima', 'virt-publish import image.raw'],
  ['virt-publish snapshot --work-dir sta', 'virt-publish snapshot --work-dir state/'],
];

describe('in a terminal', () => {
  let terminal: Terminal;
  afterEach(() => terminal.end());

  it('bash completes commands, flags, values, images, aliases and paths', async () => {
    terminal = new Terminal('bash --norc --noprofile -i');
    await terminal.type(`eval "$(virt-publish completion bash)"; echo rea''dy\r`, /ready/);
    for (const [typed, completed] of LINES) await terminal.completes(typed, completed);
    await terminal.completes('virt-publish show "two', 'virt-publish show two words');
  });

  it('zsh completes commands, flags, values, images, aliases and paths', async () => {
    terminal = new Terminal('zsh -f -i');
    const load = 'autoload -U compinit; compinit -D -u; eval "$(virt-publish completion zsh)"';
    await terminal.type(`bindkey -e; ${load}; echo rea''dy\r`, /ready/);
    for (const [typed, completed] of LINES) await terminal.completes(typed, completed);
  });

  it('zsh loads the script from a folder of its functions', async () => {
    await mkdir(join(dir, 'functions'), { recursive: true });
    terminal = new Terminal('zsh -f -i');
    const write =
      'virt-publish completion zsh >functions/_virt-publish; fpath=($PWD/functions $fpath)';
    const load = 'autoload -U compinit; compinit -D -u';
    await terminal.type(`bindkey -e; ${write}; ${load}; echo rea''dy\r`, /ready/);
    // The first Tab defines the function and completes, the second only completes.
    for (const [typed, completed] of LINES.slice(0, 2)) await terminal.completes(typed, completed);
  });
});

test('bash never completes a name to something that it would run', async () => {
  const image = join(dir, 'image.raw');
  const args = [main, 'import', image, '--format', 'raw', '--name', '$(touch pwned)'];
  await run(process.execPath, args, { env });
  const completed = async (word: string) => {
    const line = `virt-publish show ${word}`;
    const script = [
      'eval "$(virt-publish completion bash)"',
      `COMP_LINE=$1 COMP_POINT=\${#1} COMP_WORDS=(virt-publish show "$2") COMP_CWORD=2`,
      `_virt_publish; printf "%s\\n" "\${COMPREPLY[@]}"`,
    ].join('\n');
    const { stdout } = await run('bash', ['-c', script, 'bash', line, word], { env, cwd: dir });
    return stdout.trim();
  };
  expect(await completed('\\$')).toBe('\\$\\(touch\\ pwned\\)');
  expect(await completed('"$')).toBe('');
  expect(await completed("'$")).toBe('');
  expect(await completed('"two')).toBe('two words');
});

test('fish completes commands, flags, values, images, aliases and paths', async () => {
  const completed = async (line: string) => {
    const script = 'virt-publish completion fish | source; complete -C $argv[1]';
    const { stdout } = await run('fish', ['--no-config', '-c', script, line], { env, cwd: dir });
    return stdout.split('\n').map((each) => each.split('\t')[0]);
  };
  for (const [typed, expected] of LINES) {
    const word = expected.slice(typed.lastIndexOf(' ') + 1);
    expect(await completed(typed), typed).toContain(word);
  }
});
