// Reads the counter that the tiny guest keeps in /data/ticks. Pure.

/**
 * Returns the last count in the text of `/data/ticks`, lines of "count unix-time".
 * @throws if a line is incomplete or a count is missing: the disk is inconsistent then
 */
export function lastTick(text: string): number {
  const lines = text.split('\n').slice(0, -1);
  lines.forEach((line, index) => {
    if (!/^\d+ \d+$/.test(line) || Number.parseInt(line, 10) !== index + 1) {
      throw new Error(`line ${index + 1} of the guest's counter is "${line}"`);
    }
  });
  if (!text.endsWith('\n')) {
    throw new Error(`the guest's counter ends in the middle of a line: "${text.slice(-40)}"`);
  }
  return lines.length;
}
