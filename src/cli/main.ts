#!/usr/bin/env node
// Starts the command line, after a check of Node's version.

const FLOOR = { major: 22, minor: 18 };

// NOTE: nothing is imported before this: an import that fails on an older Node comes after the warning.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < FLOOR.major || (major === FLOOR.major && minor < FLOOR.minor)) {
  const supported = `Node.js ${FLOOR.major}.${FLOOR.minor} or later is supported`;
  process.stderr.write(
    `virt-publish: warning: ${supported}, and this is ${process.version}; install a newer one, or put it first in PATH\n`,
  );
}

const { runCli, crash, exitWhenWritten, standardError } = await import('./program.ts');

// NOTE: the AWS SDK warns on standard error about Node versions of its future releases; the user
// of this command cannot choose those, and the lock file does.
process.removeAllListeners('warning');
process.on('warning', (warning) => {
  if (!String(warning).includes('NodeVersionSupportWarning'))
    standardError().report(`virt-publish: warning: ${warning.message}\n`);
});
// Packages write there; this program does not.
Object.assign(console, { warn: () => undefined, info: () => undefined, log: () => undefined });
process.on('uncaughtException', (error) => void crash(error));

await exitWhenWritten(await runCli(process.argv));
