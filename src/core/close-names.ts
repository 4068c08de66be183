// Suggests existing names for a mistyped one. Pure.

const MAX_SUGGESTIONS = 5;

/** Returns the names that contain `ref`, are contained in it, or differ by a few typing errors; nearest first. */
export function closeNames(ref: string, names: readonly string[]): string[] {
  const wanted = ref.toLowerCase();
  return names
    .map((name) => ({ name, distance: distanceOf(wanted, name.toLowerCase()) }))
    .filter(({ distance }) => distance <= Math.max(2, Math.floor(wanted.length / 3)))
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_SUGGESTIONS)
    .map(({ name }) => name);
}

function distanceOf(wanted: string, name: string): number {
  const long = Math.min(wanted.length, name.length) > 2;
  const contained = long && (name.includes(wanted) || wanted.includes(name));
  return contained ? 1 : editDistance(wanted, name);
}

/** Returns the Levenshtein distance: insertions, deletions and replacements from one to the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replace));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** Returns `did you mean "web01", "web02"?`, or `undefined` if there are no names. */
export function didYouMean(near: readonly string[]): string | undefined {
  if (near.length === 0) return undefined;
  return `did you mean ${near.map((name) => JSON.stringify(name)).join(', ')}?`;
}
