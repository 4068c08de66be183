// Colours, if the stream is a terminal and the user wants them.

export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
}

/** See https://no-color.org: any value but the empty one of NO_COLOR turns colours off. */
export function styleFor(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): Style {
  const plain = stream.isTTY !== true || Boolean(env.NO_COLOR) || env.TERM === 'dumb';
  const paint = (open: number, close: number) => (text: string) =>
    plain || text === '' ? text : `\u001b[${open}m${text}\u001b[${close}m`;
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    red: paint(31, 39),
    green: paint(32, 39),
    yellow: paint(33, 39),
  };
}
