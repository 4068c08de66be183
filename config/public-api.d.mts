// Types of public-api.mjs.

/** One export of the library. */
export interface PublicExport {
  name: string;
  kind: string;
  /** Below `types`. */
  file: string;
  doc: string;
  text: string;
  /** Names that the text mentions and that are not exported. */
  inner: string[];
}

export function readPublicApi(types: string): PublicExport[];
