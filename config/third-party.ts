// The licences of the packages that are bundled: collected while they are, written beside the bundle.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'rolldown';

const NOTICE_FILES = /^(licen[cs]e|notice|copying)/i;
const PACKAGE = /^(?:@[^/]+\/)?[^/]+/;

interface Manifest {
  name: string;
  version: string;
  license?: string;
}

/** Writes `THIRD-PARTY.txt`, with the packages of all bundles that it is a plugin of. */
export function thirdParty(nodeModules: string): Plugin {
  const folders = new Set<string>();
  return {
    name: 'third-party',
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle))
        for (const id of file.type === 'chunk' ? Object.keys(file.modules) : []) {
          const inside = id.split('node_modules/').slice(1);
          const names = inside.map((path) => PACKAGE.exec(path)?.[0] ?? '');
          if (names.length > 0) folders.add(join(nodeModules, names.join('/node_modules/')));
        }
      const notices = [...folders].sort().map(noticeOf);
      const source = `What is bundled into virt-publish, each under its own licence.\n\n${notices.join('\n')}`;
      this.emitFile({ type: 'asset', fileName: 'THIRD-PARTY.txt', source });
    },
  };
}

function noticeOf(folder: string): string {
  const manifest: Manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const { name, version, license = 'no licence given' } = manifest;
  const texts = readdirSync(folder)
    .filter((file) => NOTICE_FILES.test(file))
    .map((file) => readFileSync(join(folder, file), 'utf8').trim());
  return [`${'='.repeat(72)}\n${name} ${version} (${license})`, ...texts, ''].join('\n\n');
}
