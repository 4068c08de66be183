// Writes the manual that ships: the topics of `virt-publish explain`.
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

copyTopics();

/** `build` has them too, for the tests that load its modules. */
function copyTopics() {
  for (const folder of ['build', 'dist']) {
    mkdirSync(`${root}${folder}/explain`, { recursive: true });
    for (const name of readdirSync(`${root}src/explain`))
      if (name.endsWith('.md') && name !== 'README.md')
        copyFileSync(`${root}src/explain/${name}`, `${root}${folder}/explain/${name}`);
  }
}
