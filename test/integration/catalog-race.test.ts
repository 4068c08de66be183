// A hundred writers at once on one alias and one record of a real bucket: each version has one winner.
import { beforeAll, describe, expect, test } from 'vitest';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import { bucketPlace, type Place } from '../contract/places.ts';
import { publish } from '../contract/publish.ts';
import { runCli } from '../support/cli.ts';
import { s3Env } from '../support/s3.ts';

const WRITERS = 100;

describe('a hundred writers', () => {
  let place: Place;
  let registry: Registry;
  let images: string[];
  beforeAll(async () => {
    place = await bucketPlace();
    registry = await openRegistry(place.url, place.options);
    images = [];
    for (const name of ['one', 'two', 'three']) images.push((await publish(registry, { name })).id);
  });

  /** Each with connections of its own. */
  const open = () =>
    Promise.all(Array.from({ length: WRITERS }, () => openRegistry(place.url, place.options)));

  test('of one alias: one winner a version, the others get an error, the log has no gap', async () => {
    const writers = await open();
    for (const [round, id] of images.entries()) {
      const results = await Promise.allSettled(
        writers.map((writer) => writer.setAlias('raced', id, { expectVersion: round })),
      );
      const codes = results.map((result) =>
        result.status === 'fulfilled' ? 'won' : (result.reason.code as string),
      );
      expect(codes.filter((code) => code === 'won')).toHaveLength(1);
      expect(codes.filter((code) => code === 'PRECONDITION_LOST')).toHaveLength(WRITERS - 1);
    }
    const log = await registry.aliasLog('raced');
    expect(log.map(({ version, image_id }) => [version, image_id])).toEqual(
      images.map((id, round) => [round + 1, id]),
    );
  });

  test('without an expected version: each move that succeeds is in the log, and no other', async () => {
    const writers = await open();
    const results = await Promise.allSettled(
      writers.map((writer, n) => writer.setAlias('free', images[n % images.length] ?? '')),
    );
    const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason.code).toBe('PRECONDITION_LOST');
    const log = await registry.aliasLog('free');
    expect(log.map(({ version }) => version)).toEqual(log.map((_, index) => index + 1));
    // One that pointed there already is no move: it returns the version that it found.
    const reported = new Set(won.map(({ version, image_id }) => `${version} ${image_id}`));
    expect([...reported].sort()).toEqual(
      log.map(({ version, image_id }) => `${version} ${image_id}`).sort(),
    );
  });

  test('of one record: one winner of the expected version', async () => {
    const writers = await open();
    const [id = ''] = images;
    const results = await Promise.allSettled(
      writers.map((writer, n) =>
        writer.changeImage(id, { name: `writer ${n}` }, { expectVersion: 3 }),
      ),
    );
    const winner = results.findIndex((result) => result.status === 'fulfilled');
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    expect(await registry.getImage(id)).toMatchObject({ version: 4, name: `writer ${winner}` });
  });

  test('as processes: exit 0 for one, 43 for the others, nothing incomplete', async () => {
    const [, , id = ''] = images;
    const args = ['alias', 'set', 'by-process', id, '--if-version', '0', '--registry', place.url];
    const ran = await Promise.all(Array.from({ length: 8 }, () => runCli(args, { env: s3Env() })));
    expect(ran.map(({ exitCode }) => exitCode).sort()).toEqual([0, 43, 43, 43, 43, 43, 43, 43]);
    const lost = ran.find(({ exitCode }) => exitCode === 43);
    expect(lost?.stderr).toMatch(/alias by-process was moved by another client/);
    expect((await place.keys()).filter((key) => key.startsWith('aliases/by-process/'))).toEqual([
      'aliases/by-process/00000001.json',
    ]);
  });
});
