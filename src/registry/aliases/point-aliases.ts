// Points the aliases that a new image was asked to have to it, one step a name.
import { type OnEvent, runStep } from '../../core/events.ts';
import type { Registry } from '../registry.ts';

/** An alias after its move. */
export interface MovedAlias {
  alias: string;
  version: number;
}

/**
 * Points each alias to the image `id`, in this order; one that points there already stays as it is.
 * @throws what `Registry.setAlias` throws; the aliases before the one that failed are moved
 */
export async function pointAliases(
  registry: Registry,
  id: string,
  aliases: readonly string[],
  onEvent: OnEvent,
): Promise<MovedAlias[]> {
  const moved: MovedAlias[] = [];
  for (const alias of aliases) {
    const { version } = await runStep(onEvent, 'alias', () => registry.setAlias(alias, id));
    moved.push({ alias, version });
  }
  return moved;
}
