// The columns that a table of images can have, by the names that `--columns` takes.

export const COLUMN_NAMES = [
  ...(['id', 'name', 'status', 'format', 'size', 'virtual', 'created', 'updated'] as const),
  ...(['aliases', 'visibility', 'protected', 'owner', 'tags'] as const),
];
export type ColumnName = (typeof COLUMN_NAMES)[number];

/** The columns of a table by default. */
export const USUAL_COLUMNS: readonly ColumnName[] = [
  ...(['id', 'name', 'status', 'format', 'size', 'virtual', 'created', 'aliases', 'tags'] as const),
];
