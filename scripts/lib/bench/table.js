// Formats the measurements as tables and as a plot.
const MIB = 1024 * 1024;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Returns the median of each number over the rounds, steps included. */
export function summarize(rounds) {
  const numbers = Object.keys(rounds[0]).filter((key) => typeof rounds[0][key] === 'number');
  const summary = Object.fromEntries(
    numbers.map((key) => [key, median(rounds.map((round) => round[key]))]),
  );
  const steps = Object.keys(rounds[0].steps);
  const stepMs = steps.map((step) => [step, median(rounds.map((round) => round.steps[step] ?? 0))]);
  return { ...summary, steps: Object.fromEntries(stepMs) };
}

const COLUMNS = [
  ['total', 9, ({ ms }) => `${(ms / 1000).toFixed(2)} s`],
  ['ratio', 7, ({ ms }, first) => (ms / first.ms).toFixed(2)],
  ['freeze', 9, ({ freezeMs }) => (freezeMs === undefined ? '-' : `${Math.round(freezeMs)} ms`)],
  ['down', 9, ({ downMs }) => (downMs === undefined ? '-' : `${(downMs / 1000).toFixed(2)} s`)],
  ['read', 11, ({ read }) => mib(read)],
  ['written', 11, ({ written }) => mib(written)],
  ['scratch', 11, ({ scratch }) => mib(scratch)],
  ['memory', 9, ({ memory }) => mib(memory)],
  ['cpu', 9, ({ cpuS }) => `${cpuS.toFixed(1)} s`],
  ['image', 11, ({ imageBytes }) => (imageBytes === undefined ? '-' : mib(imageBytes))],
];

export function table(title, rows) {
  const width = Math.max(...rows.map(({ name }) => name.length)) + 2;
  const first = rows[0].summary;
  const head = COLUMNS.map(([name, size]) => name.padStart(size)).join('');
  const lines = rows.map(({ name, summary }) => {
    const cells = COLUMNS.map(([, size, show]) => show(summary, first).padStart(size));
    return name.padEnd(width) + cells.join('');
  });
  const steps = rows.map(({ name, summary }) => `  ${name}: ${stepsOf(summary)}`);
  return [`\n${title}`, ''.padEnd(width) + head, ...lines, 'steps, in seconds', ...steps].join(
    '\n',
  );
}

function stepsOf({ steps }) {
  const shown = Object.entries(steps).filter(([, ms]) => ms >= 5);
  return shown.map(([step, ms]) => `${step} ${(ms / 1000).toFixed(2)}`).join(', ') || '-';
}

export function goals(rows) {
  const width = Math.max(...rows.map(({ what }) => what.length)) + 2;
  return rows
    .map(({ what, value, goal, unit = '' }) => {
      const met = value <= goal ? 'met' : 'NOT MET';
      return `${what.padEnd(width)}${value.toFixed(2)}${unit} of ${goal}${unit}  ${met}`;
    })
    .join('\n');
}

/** Returns an SVG with one bar a contender, in seconds, and one block a group. */
export function plot(groups) {
  const bars = groups.flatMap(({ title, rows }) => [
    { title },
    ...rows.map(({ name, summary }) => ({ name, s: summary.ms / 1000 })),
  ]);
  const most = Math.max(...bars.map(({ s }) => s ?? 0));
  const lines = bars.map((bar, at) => drawLine(bar, at * 24 + 24, most));
  const height = bars.length * 24 + 24;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="900" height="${height}" font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n${lines.join('\n')}\n</svg>\n`;
}

function drawLine({ title, name, s }, y, most) {
  if (title !== undefined) return `<text x="10" y="${y}" font-weight="bold">${title}</text>`;
  const width = Math.max(1, (s / most) * 540);
  const color = name.startsWith('virt-publish') ? '#2a7' : '#999';
  return `<text x="20" y="${y}">${name}</text><rect x="260" y="${y - 13}" width="${width}" height="16" fill="${color}"/><text x="${265 + width}" y="${y}">${s.toFixed(2)} s</text>`;
}

function mib(bytes) {
  return `${(bytes / MIB).toFixed(0)} MiB`;
}
